import { isIP } from 'node:net';
import { type ClientContext, loadAddon, type PeerAuth, type ServerIdentity, type Session } from '../addon.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import type { KeySigner, KeySigners } from '../handshake-signer.js';
import { negotiationOf, type ParsedNegotiation } from '../negotiation.js';
import { checkKinds, nativeCertificate } from '../offer.js';
import { plainServerName } from '../server-name.js';

/** What a handshake with a server is made with, from its beginning to its end. */
export interface ClientOffer {
  readonly context: ClientContext;
  /** By key index. */
  readonly signers: readonly KeySigner[];
}

/** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED */
export function makeClientOffer(
  credentials: readonly Credential[],
  config: ParsedNegotiation,
  serverAuth: PeerAuth,
  keySigners: KeySigners,
): ClientOffer {
  checkKinds(credentials, 'TLS connector');
  const signers: KeySigner[] = [];
  const certificates = credentials.map((each) => nativeCertificate(each, signers, keySigners));
  const negotiation = { ...negotiationOf(config), groups: withKeyShares(config.groups).join(':') };
  try {
    return { context: new (loadAddon().ClientContext)({ ...negotiation, certificates, serverAuth }), signers };
  } catch (cause) {
    const message = `TLS connector: want credentials that OpenSSL takes, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED', message, { cause });
  }
}

/**
 * @param serverName  a host name or an address, in brackets or not
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
 */
export function newClientSession(
  { context }: ClientOffer,
  serverName: string,
  alpnProtocols: readonly string[],
): Session {
  try {
    return new (loadAddon().Session)(context, { ...identityOf(serverName), alpnProtocols });
  } catch (cause) {
    const message = `TLS connector: want a host name or an address of a server, got ${JSON.stringify(serverName)}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
  }
}

function identityOf(serverName: string): Pick<ServerIdentity, 'name' | 'isAddress'> {
  // No certificate has a zone (RFC 4007 §11).
  const [bare] = serverName.replace(/^\[(.*)\]$/, '$1').split('%');
  return isIP(bare) === 0 ? { name: plainServerName(serverName), isAddress: false } : { name: bare, isAddress: true };
}

/**
 * Marks the groups for which a share of the key exchange goes with the ClientHello: the first, and the first that every server
 * may know, so that one without the hybrids does not have to ask for it in a second round (RFC 8446 §4.1.4).
 */
function withKeyShares(groups: readonly string[]): string[] {
  const classical = groups.find((group) => !group.includes('MLKEM'));
  return groups.map((group, index) => (index === 0 || group === classical ? `*${group}` : group));
}
