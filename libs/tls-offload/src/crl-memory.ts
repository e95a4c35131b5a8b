import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** A CRL that was verified, in DER. */
export interface KnownCrl {
  readonly issuer: string;
  readonly der: Uint8Array;
}

/**
 * The CRLs in force, kept in a directory: a process that starts knows of them, and takes none that is older. Several may share
 * it: each file is named by its content (SHA-256), and only who has replaced a CRL removes it. What somebody else puts there is
 * no more than a CRL that has to be signed like any other; who may delete there makes the next start forget.
 */
export class CrlMemory {
  /** Issuers of those that are in force here, by file. */
  #inForce = new Map<string, string>();
  /** Files that were there, whole, when it was last looked. */
  #written = new Set<string>();

  constructor(private readonly directory: string) {}

  /** @returns those whose content is whole, in DER @throws the system's error */
  read(): Buffer[] {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const crls = readdirSync(this.directory)
      .filter((file) => /^[0-9a-f]{64}\.crl$/.test(file))
      .flatMap((file) => {
        const der = this.#read(file);
        return der !== undefined && nameOf(der) === file ? [der] : [];
      });
    this.#written = new Set(crls.map(nameOf));
    return crls;
  }

  /** Makes these the ones in force. @throws the system's error */
  keep(crls: readonly KnownCrl[]): void {
    const now = new Map(crls.map(({ issuer, der }) => [nameOf(der), issuer]));
    const fresh = crls.filter(({ der }) => !this.#inForce.has(nameOf(der)));
    for (const { der } of crls) if (!this.#written.has(nameOf(der))) this.#write(nameOf(der), der);
    const replacedIssuers = new Set(fresh.map(({ issuer }) => issuer));
    for (const [file, issuer] of this.#inForce) {
      // Of an issuer that is only trusted here no more, it may be in force for others.
      if (!now.has(file) && replacedIssuers.has(issuer)) this.#remove(file);
    }
    this.#inForce = now;
  }

  #remove(file: string): void {
    rmSync(join(this.directory, file), { force: true });
    this.#written.delete(file);
  }

  #read(file: string): Buffer | undefined {
    try {
      return readFileSync(join(this.directory, file));
    } catch (error) {
      // Replaced by another process just now, whose newer one is there.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #write(file: string, der: Uint8Array): void {
    const temporary = join(this.directory, `${file}.${randomUUID()}`);
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      for (let at = 0; at < der.length;) at += writeSync(descriptor, der, at);
      fsyncSync(descriptor);
      renameSync(temporary, join(this.directory, file));
      this.#written.add(file);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(descriptor);
    }
  }
}

function nameOf(der: Uint8Array): string {
  return `${createHash('sha256').update(der).digest('hex')}.crl`;
}
