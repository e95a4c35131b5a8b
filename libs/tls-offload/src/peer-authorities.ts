import { readFileSync, statSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { PeerAuth } from './addon.js';
import { CrlMemory } from './crl-memory.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from './errors.js';
import { WatchedFiles } from './watched-files.js';

/** More than any CA writes: a bound on what a file may make us hold. */
const largestFileBytes = 64 * 1024 * 1024;

/** What is in force of one issuer. */
export interface CrlStatus {
  readonly issuer: string;
  readonly thisUpdate: Date;
  /** From then on certificates of this issuer are refused, unless a newer CRL has come. */
  readonly nextUpdate: Date;
}

export interface AuthorityFiles {
  /** PEM; undefined: the roots of Node.js. */
  readonly caFile: string | undefined;
  /** PEM or DER. */
  readonly crlFiles: readonly string[];
  /** Keeps the CRLs in force; undefined: a process that starts takes whatever CRL there is. */
  readonly crlDirectory?: string;
  readonly reloadIntervalMilliseconds: number;
}

/**
 * The authorities and CRLs that peers' certificates are judged by, from files. Files that change are read again. What cannot be
 * used of them changes nothing that is in force: an older CRL never takes the place of a newer one, and one that has expired
 * refuses everybody (fails closed).
 */
export class PeerAuthorities {
  readonly #memory: CrlMemory | undefined;
  readonly #watched: WatchedFiles;
  readonly #expiry: NodeJS.Timeout;
  readonly #reportedExpired = new Set<string>();
  #faults = 0;

  /**
   * @param native  which gets what the files say
   * @param code  of what is reported
   * @param failed  told of each fault of a file that came up since
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID for files that cannot be used
   */
  constructor(
    readonly native: PeerAuth,
    private readonly files: AuthorityFiles,
    private readonly code: TlsOffloadErrorCode,
    private readonly failed: (error: TlsOffloadError) => void,
  ) {
    const { caFile, crlFiles, crlDirectory, reloadIntervalMilliseconds } = files;
    if (crlDirectory !== undefined && crlFiles.length > 0) this.#memory = new CrlMemory(crlDirectory);
    this.#remember();
    const remembered = this.#inForce().length;
    const faults = this.#load();
    // What is remembered stays in force when the files are no good, as while it runs.
    if (faults.length > 0 && remembered === 0) throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', faults[0]);
    for (const fault of faults) this.#report(fault);
    const watched = caFile === undefined ? crlFiles : [caFile, ...crlFiles];
    this.#watched = new WatchedFiles(watched, reloadIntervalMilliseconds, () => this.#reload());
    this.#expiry = setInterval(() => this.#reportExpired(), reloadIntervalMilliseconds);
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
    const crls = this.files.crlFiles.flatMap((file) => readCrls(file).map((der) => ({ file, der })));
    const faults = this.#update(crls.map(({ der }) => der)).map((fault) => {
      const [, position = '1'] = /^CRL (\d+)/.exec(fault) ?? [];
      return `${crls[Number(position) - 1].file}: ${fault}`;
    });
    this.#keep();
    return faults;
  }

  /**
   * Puts in force what was before this process, or before its issuer was missing among the authorities for a while; what they have
   * not signed is nobody's fault.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
   */
  #remember(): void {
    if (this.#memory === undefined) return;
    try {
      this.#update(this.#memory.read());
    } catch (cause) {
      if (cause instanceof TlsOffloadError) throw cause;
      const message = `${this.files.crlDirectory}: want a directory of CRLs, got ${(cause as Error).message}`;
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
    }
    this.#keep();
  }

  #update(crls: readonly Buffer[]): string[] {
    const { caFile } = this.files;
    const roots = caFile === undefined ? getCACertificates().join('\n') : read(caFile).toString('latin1');
    try {
      return this.native.update({ authorities: pemBlocks(roots, 'CERTIFICATE'), crls });
    } catch (cause) {
      const message = `${caFile ?? 'roots of Node.js'}: ${(cause as Error).message}`;
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
    }
  }

  /** A disk that is full keeps nobody from being served: that it was not kept is reported. */
  #keep(): void {
    try {
      this.#memory?.keep(this.#inForce());
    } catch (cause) {
      const message = `${this.files.crlDirectory}: want to keep the CRLs in force, got ${(cause as Error).message}`;
      this.#report(message, cause);
    }
  }

  #inForce(): { issuer: string; der: Buffer }[] {
    const issuers = this.native.crls().map(({ issuer }) => issuer);
    return this.native.encodedCrls().map((der, index) => ({ issuer: issuers[index], der }));
  }

  #reload(): Promise<void> {
    try {
      this.#remember();
    } catch (error) {
      this.#report((error as Error).message, error);
    }
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
        `CRL of ${issuer}: want one in force, got one that ended ${nextUpdate.toISOString()}; whom it certifies is refused`,
      );
    }
  }

  #report(message: string, cause?: unknown): void {
    this.#faults++;
    this.failed(new TlsOffloadError(this.code, message, { cause }));
  }
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
