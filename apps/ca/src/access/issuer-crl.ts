import type { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { type ForeignCrl, maximumCrlBytes, readForeignCrl } from '@nest-hsm/ca';

/**
 * What an issuer of client certificates has revoked, from a file that is looked at from time to time. Without its CRL in force no
 * certificate of it counts: a file that is gone, damaged, of another issuer or past its nextUpdate lets nobody in, and is told of once.
 */
export class IssuerCrl {
  #crl: ForeignCrl | undefined;
  /** What the file was when it was read; undefined: it could not be looked at. */
  #seen: string | undefined;
  /** Why what was read is no CRL of the issuer. */
  #unreadable: string | undefined;
  #reported: string | undefined;

  /** @param refused  told why nobody is let in, when that begins */
  constructor(
    private readonly file: string,
    private readonly issuer: X509Certificate,
    private readonly now: () => Date,
    private readonly refused: (message: string) => void,
  ) {}

  /** Whether a certificate of the issuer may count. */
  allows({ serialNumber }: X509Certificate): boolean {
    return this.#fault() === undefined && this.#crl?.has(serialNumber) === false;
  }

  /** Reads the file if it has changed. Rejects never. */
  async look(): Promise<void> {
    try {
      const { dev, ino, size, mtimeMs, ctimeMs } = await stat(this.file);
      const seen = [dev, ino, size, mtimeMs, ctimeMs].join();
      if (seen !== this.#seen) {
        this.#seen = seen;
        await this.#read(size);
      }
    } catch (error) {
      this.#seen = undefined;
      this.#unreadable = (error as Error).message;
    }
    const fault = this.#fault();
    if (fault !== undefined && fault !== this.#reported)
      this.refused(
        `${this.file}: want the CRL in force of ${this.issuer.subject.replaceAll('\n', ', ')}, got ${fault}`,
      );
    this.#reported = fault;
  }

  async #read(bytes: number): Promise<void> {
    try {
      if (bytes > maximumCrlBytes) throw new Error(`${bytes} octets`);
      const crl = await readForeignCrl(await readFile(this.file), this.issuer);
      // One that is older takes nothing back.
      if (this.#crl === undefined || crl.thisUpdate >= this.#crl.thisUpdate) this.#crl = crl;
      this.#unreadable = undefined;
    } catch (error) {
      this.#unreadable = (error as Error).message;
    }
  }

  #fault(): string | undefined {
    if (this.#unreadable !== undefined || this.#crl === undefined) return this.#unreadable ?? 'none yet';
    const { thisUpdate, nextUpdate } = this.#crl;
    const now = this.now();
    if (now >= thisUpdate && now <= nextUpdate) return undefined;
    return `one from ${thisUpdate.toISOString()} to ${nextUpdate.toISOString()}`;
  }
}
