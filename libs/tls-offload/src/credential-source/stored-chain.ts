import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';

/** @returns undefined when there is none. @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
export async function readStoredChain(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable(file, error);
  }
}

/**
 * Keeps a chain for the next start, whole or not at all: a crash leaves the old file or the new one.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
 */
export async function storeChain(file: string, { chain }: Credential): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  try {
    await makeDirectoryOf(file);
    const handle = await open(temporary, 'w', 0o644);
    try {
      await handle.writeFile(chain.map((certificate) => certificate.toString()).join(''));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    throw unusable(file, cause);
  }
}

/** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
export async function makeDirectoryOf(file: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
  } catch (cause) {
    throw unusable(file, cause);
  }
}

function unusable(file: string, cause: unknown): TlsOffloadError {
  const message = `${file}: want a file to keep the certificate in, got ${(cause as Error).message}`;
  return new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
}
