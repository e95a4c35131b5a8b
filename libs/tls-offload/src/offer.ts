import {
  loadAddon,
  type NativeCertificate,
  type ServerContext,
  type ServerContextOptions,
  type TicketKeys,
} from './addon.js';
import type { ClientPolicies } from './client-auth.js';
import type { ParsedTerminatorConfig } from './config.js';
import type { Credential } from './credential.js';
import { TlsOffloadError } from './errors.js';
import type { KeySigner, KeySigners } from './handshake-signer.js';
import { negotiationOf } from './negotiation.js';
import { lookUp, plainServerName } from './server-name.js';
import type { Staples } from './stapling.js';

/** The certificates and keys of a terminator. */
export interface ServedCredentials {
  /** Served to clients that name no server or none of ours; at most one of each kind of key (EC, RSA, Ed25519). */
  readonly credentials: readonly Credential[];
  /** Served to clients that name the server; `*.example.org` stands for one label (RFC 6125 §6.4.3). */
  readonly serverNames?: Readonly<Record<string, readonly Credential[]>>;
}

export interface TicketOffer {
  readonly keys: TicketKeys;
  /** Of other scopes no session is resumed. */
  readonly scope: string;
}

/** What a handshake is made with, from its beginning to its end. */
export interface Offer {
  readonly context: ServerContext;
  /** By key index. */
  readonly signers: readonly KeySigner[];
}

/**
 * What clients of each server name meet: every name that has credentials or a policy of its own, and the default.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED
 */
export function makeOffer(
  { credentials, serverNames = {} }: ServedCredentials,
  config: ParsedTerminatorConfig,
  keySigners: KeySigners,
  policies: ClientPolicies,
  staples: Staples,
  tickets: TicketOffer | undefined,
): Offer {
  const signers: KeySigner[] = [];
  const certificates = (of: readonly Credential[], whom: string) => {
    checkKinds(of, `TLS terminator: for clients that ${whom}`);
    return of.map((credential) => ({
      ...nativeCertificate(credential, signers, keySigners),
      staple: staples.of(credential)?.native,
    }));
  };
  const byName = new Map(Object.entries(serverNames).map(([name, of]) => [plainServerName(name), of]));
  const names = new Set([...byName.keys(), ...policies.names]);
  const context = newContext({
    credentials: [
      {
        serverNames: [],
        certificates: certificates(credentials, 'name no server'),
        clientAuth: policies.of(undefined),
      },
      ...[...names].map((name) => ({
        serverNames: [name],
        certificates: certificates(lookUp(byName, name) ?? credentials, `name ${name}`),
        clientAuth: policies.of(name),
      })),
    ],
    ticketKeys: tickets?.keys,
    ticketScope: tickets?.scope,
    alpnProtocols: config.alpnProtocols,
    refuseUnknownNames: config.unknownServerNames === 'refuse',
    ...negotiationOf(config),
  });
  return { context, signers };
}

/**
 * OpenSSL has room for one certificate of each kind of key.
 * @param whom  they are for, for the message
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED
 */
export function checkKinds(credentials: readonly Credential[], whom: string): void {
  const labels = new Map<string, string>();
  for (const { key } of credentials) {
    const [kind] = key.algorithm.split('-');
    const other = labels.get(kind);
    labels.set(kind, key.label);
    if (other === undefined) continue;
    const got = `got certificates for keys ${other} and ${key.label}, both ${kind.toUpperCase()}`;
    const message = `${whom}: want at most one certificate for each kind of key, ${got}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED', message);
  }
}

/** @param signers  gets that of its key */
export function nativeCertificate(
  credential: Credential,
  signers: KeySigner[],
  keySigners: KeySigners,
): NativeCertificate {
  const chain = credential.chain.map(({ raw }) => raw);
  return { chain, keyIndex: indexIn(signers, keySigners.of(credential)) };
}

function indexIn<Item>(list: Item[], item: Item): number {
  const known = list.indexOf(item);
  return known >= 0 ? known : list.push(item) - 1;
}

function newContext(options: ServerContextOptions): ServerContext {
  const { ServerContext } = loadAddon();
  try {
    return new ServerContext(options);
  } catch (cause) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED',
      `TLS terminator: want credentials that OpenSSL takes, got ${(cause as Error).message}`,
      { cause },
    );
  }
}
