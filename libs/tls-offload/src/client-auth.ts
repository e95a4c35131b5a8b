import { readFileSync, statSync } from 'node:fs';
import { type ClientAuth, type ClientRule, loadAddon } from './addon.js';
import type { ParsedClientCertificateConfig, ParsedTerminatorConfig } from './config.js';
import { TlsOffloadError } from './errors.js';
import { lookUp, plainServerName } from './server-name.js';
import { WatchedFiles } from './watched-files.js';

/** More than any CA writes: a bound on what a file may make us hold. */
const largestFileBytes = 64 * 1024 * 1024;

/** What is in force of one issuer. */
export interface CrlStatus {
  readonly issuer: string;
  readonly thisUpdate: Date;
  /** From then on clients of this issuer are refused, unless a newer CRL has come. */
  readonly nextUpdate: Date;
}

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
 * rules allow. Files that change are read again. What cannot be used of them changes nothing that is in force: an older CRL
 * never takes the place of a newer one, and one that has expired refuses everybody (fails closed).
 */
export class ClientCertificates {
  readonly native: ClientAuth;
  readonly #caFile: string;
  readonly #watched: WatchedFiles;
  readonly #expiry: NodeJS.Timeout;
  readonly #reportedExpired = new Set<string>();
  #faults = 0;

  /**
   * @param failed  told of each fault of a file that came up since
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID for files that cannot be used
   */
  constructor(
    private readonly config: ParsedClientCertificateConfig,
    private readonly failed: (error: TlsOffloadError) => void,
  ) {
    const { caFile, crlFiles, mode, maximumIntermediates, maximumChainBytes, allow } = config;
    if (caFile === undefined)
      throw new TypeError('clientCertificates: want caFile, as the configuration has been checked');
    this.#caFile = caFile;
    this.native = new (loadAddon().ClientAuth)({
      required: mode === 'required',
      checkCrls: crlFiles.length > 0,
      maximumIntermediates,
      maximumChainBytes,
      rules: allow.map(toRule),
    });
    const [fault] = this.#load();
    if (fault !== undefined) throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', fault);
    this.#watched = new WatchedFiles([caFile, ...crlFiles], config.reloadIntervalMilliseconds, () => this.#reload());
    this.#expiry = setInterval(() => this.#reportExpired(), config.reloadIntervalMilliseconds);
    this.#expiry.unref();
    this.#reportExpired();
  }

  /** The CRLs in force. */
  get crls(): readonly CrlStatus[] {
    return this.native.crls().map(({ issuer, thisUpdate, nextUpdate }) => ({
      issuer,
      thisUpdate: new Date(thisUpdate * 1000),
      nextUpdate: new Date(nextUpdate * 1000),
    }));
  }

  /** Certificates refused, by OpenSSL's reason. */
  get refusals(): Readonly<Record<string, number>> {
    return this.native.refusals();
  }

  /** Files, or parts of them, that could not be used since the start. */
  get faults(): number {
    return this.#faults;
  }

  /** Looks whether the files have changed, without waiting for the next time. */
  async look(): Promise<void> {
    await this.#watched.look();
  }

  close(): void {
    this.#watched.close();
    clearInterval(this.#expiry);
  }

  /** @returns what of the CRLs was not taken @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
  #load(): string[] {
    const crls = this.config.crlFiles.flatMap((file) => readCrls(file).map((der) => ({ file, der })));
    const authorities = pemBlocks(read(this.#caFile).toString('latin1'), 'CERTIFICATE');
    try {
      const faults = this.native.update({ authorities, crls: crls.map(({ der }) => der) });
      return faults.map((fault) => {
        const [, position = '1'] = /^CRL (\d+)/.exec(fault) ?? [];
        return `${crls[Number(position) - 1].file}: ${fault}`;
      });
    } catch (cause) {
      const message = `${this.#caFile}: ${(cause as Error).message}`;
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
    }
  }

  #reload(): Promise<void> {
    try {
      for (const fault of this.#load()) this.#report(fault);
    } catch (error) {
      this.#report((error as Error).message, error);
    }
    return Promise.resolve();
  }

  #reportExpired(): void {
    for (const { issuer, nextUpdate } of this.crls) {
      const which = `${issuer} ${nextUpdate.toISOString()}`;
      if (nextUpdate.getTime() > Date.now() || this.#reportedExpired.has(which)) continue;
      this.#reportedExpired.add(which);
      this.#report(
        `CRL of ${issuer}: want one in force, got one that ended ${nextUpdate.toISOString()}; its clients are refused`,
      );
    }
  }

  #report(message: string, cause?: unknown): void {
    this.#faults++;
    this.failed(new TlsOffloadError('ERR_TLS_OFFLOAD_CLIENT_AUTHORITIES', message, { cause }));
  }
}

interface Policy {
  /** Undefined: clients are not asked for certificates. */
  readonly certificates: ClientCertificates | undefined;
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
  ) {
    const policy = (config: ParsedClientCertificateConfig): Policy => ({
      certificates: config.mode === 'none' ? undefined : new ClientCertificates(config, failed),
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

  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** @returns undefined where clients are not asked for certificates @param name  undefined: of the default */
  of(name: string | undefined): ClientAuth | undefined {
    const own = name === undefined ? undefined : lookUp(this.#byName, name);
    return (own ?? this.#default).certificates?.native;
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

  get #all(): readonly ClientCertificates[] {
    return [this.#default, ...this.#byName.values()].flatMap(({ certificates }) => certificates ?? []);
  }
}

function toRule(allowed: ParsedClientCertificateConfig['allow'][number]): ClientRule {
  if ('dnsName' in allowed) return { kind: 'dns', pattern: allowed.dnsName };
  if ('email' in allowed) return { kind: 'email', pattern: allowed.email };
  if ('uri' in allowed) return { kind: 'uri', pattern: allowed.uri };
  if ('spiffeId' in allowed) return { kind: 'spiffe', pattern: allowed.spiffeId };
  return { kind: 'subject', pattern: allowed.subject };
}

function readCrls(file: string): Buffer[] {
  const content = read(file);
  const blocks = pemBlocks(content.toString('latin1'), 'X509 CRL');
  // Else it is DER, or nothing that OpenSSL will take.
  return blocks.length > 0 ? blocks : [content];
}

function read(file: string): Buffer {
  try {
    const { size } = statSync(file);
    if (size > largestFileBytes) throw new Error(`want at most ${largestFileBytes} bytes, got ${size}`);
    return readFileSync(file);
  } catch (cause) {
    const message = `${file}: want a readable file, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
  }
}

/** RFC 7468 §2, with anything between the blocks. */
function pemBlocks(text: string, label: string): Buffer[] {
  const block = new RegExp(`-----BEGIN ${label}-----([^-]+)-----END ${label}-----`, 'g');
  return [...text.matchAll(block)].map(([, base64]) => Buffer.from(base64, 'base64'));
}
