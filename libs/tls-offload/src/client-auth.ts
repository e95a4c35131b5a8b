import { type ClientRule, loadAddon, type PeerAuth } from './addon.js';
import type { ParsedClientCertificateConfig, ParsedTerminatorConfig } from './config.js';
import type { TlsOffloadError } from './errors.js';
import { type CrlStatus, PeerAuthorities } from './peer-authorities.js';
import { lookUp, plainServerName } from './server-name.js';

export interface ClientCertificateStatistics {
  /** Certificates refused, by OpenSSL's reason. */
  readonly refusals: Readonly<Record<string, number>>;
  /** In force. */
  readonly crls: readonly CrlStatus[];
  /** Files, or parts of them, that could not be used since the start. */
  readonly faults: number;
}

/**
 * Who may connect: clients whose certificate the authorities of a file have issued, that no CRL revokes, and that has a name the
 * rules allow.
 * @param failed  told of each fault of a file that came up since
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID for files that cannot be used
 */
function clientAuthorities(
  config: ParsedClientCertificateConfig,
  failed: (error: TlsOffloadError) => void,
  crlDirectory: string | undefined,
): PeerAuthorities {
  const { caFile, crlFiles, mode, maximumIntermediates, maximumChainBytes, allow } = config;
  // Never the roots of Node.js, which certify servers.
  if (caFile === undefined)
    throw new TypeError('clientCertificates: want caFile, as the configuration has been checked');
  const native = new (loadAddon().PeerAuth)({
    peer: 'client',
    required: mode === 'required',
    checkCrls: crlFiles.length > 0,
    maximumIntermediates,
    maximumChainBytes,
    rules: allow.map(toRule),
  });
  return new PeerAuthorities(native, { ...config, caFile, crlDirectory }, 'ERR_TLS_OFFLOAD_CLIENT_AUTHORITIES', failed);
}

interface Policy {
  /** Undefined: clients are not asked for certificates. */
  readonly authorities: PeerAuthorities | undefined;
}

/** What is asked of the clients of each server name. */
export class ClientPolicies {
  /** A policy that asks for no certificate is one too: it stands before the default. */
  readonly #byName = new Map<string, Policy>();
  readonly #default: Policy;

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
  constructor(
    { clientCertificates, clientCertificatesByName }: ParsedTerminatorConfig,
    failed: (error: TlsOffloadError) => void,
    crlDirectory?: string,
  ) {
    const policy = (config: ParsedClientCertificateConfig): Policy => ({
      authorities: config.mode === 'none' ? undefined : clientAuthorities(config, failed, crlDirectory),
    });
    this.#default = policy(clientCertificates);
    try {
      for (const [name, config] of Object.entries(clientCertificatesByName)) {
        this.#byName.set(plainServerName(name), policy(config));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Names with a policy of their own. */
  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** @returns undefined where clients are not asked for certificates @param name  undefined: of the default */
  of(name: string | undefined): PeerAuth | undefined {
    const own = name === undefined ? undefined : lookUp(this.#byName, name);
    return (own ?? this.#default).authorities?.native;
  }

  get statistics(): ClientCertificateStatistics {
    const refusals: Record<string, number> = {};
    for (const each of this.#all) {
      for (const [reason, count] of Object.entries(each.refusals)) refusals[reason] = (refusals[reason] ?? 0) + count;
    }
    return {
      refusals,
      crls: this.#all.flatMap(({ crls }) => crls),
      faults: this.#all.reduce((sum, { faults }) => sum + faults, 0),
    };
  }

  /** Looks whether files have changed, without waiting for the next time. */
  async look(): Promise<void> {
    await Promise.all(this.#all.map((each) => each.look()));
  }

  close(): void {
    for (const each of this.#all) each.close();
  }

  get #all(): readonly PeerAuthorities[] {
    return [this.#default, ...this.#byName.values()].flatMap(({ authorities }) => authorities ?? []);
  }
}

function toRule(allowed: ParsedClientCertificateConfig['allow'][number]): ClientRule {
  if ('dnsName' in allowed) return { kind: 'dns', pattern: allowed.dnsName };
  if ('email' in allowed) return { kind: 'email', pattern: allowed.email };
  if ('uri' in allowed) return { kind: 'uri', pattern: allowed.uri };
  if ('spiffeId' in allowed) return { kind: 'spiffe', pattern: allowed.spiffeId };
  return { kind: 'subject', pattern: allowed.subject };
}
