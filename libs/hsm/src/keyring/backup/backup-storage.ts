import { constants } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HsmError } from '../../errors.js';
import { decodeBackup, maximumBackupBytes, type VerifiedBackup } from './backup-file.js';

/**
 * Reads a backup and checks all of it.
 * @param signer  SHA-256 of the public key that is to have signed it, hexadecimal
 * @throws {HsmError} ERR_HSM_BACKUP_INVALID
 */
export async function readBackup(path: string, signer: string): Promise<VerifiedBackup> {
  return decodeBackup(await readBounded(path), signer);
}

/**
 * Writes a backup whole or not at all, and never over another file.
 * @throws {HsmError} ERR_HSM_BACKUP_REFUSED; any other error when what was written could not be removed
 */
export async function writeBackup(path: string, bytes: Buffer): Promise<void> {
  if (await exists(path))
    throw new HsmError('ERR_HSM_BACKUP_REFUSED', `${path}: want a new file, got one that is there`);
  const temporary = `${path}.${process.pid}.new`;
  let written = temporary;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    written = path;
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(written, { force: true });
    const got = (cause as NodeJS.ErrnoException).code;
    throw new HsmError('ERR_HSM_BACKUP_REFUSED', `${path}: want to write it, got ${got}: nothing was kept`, { cause });
  }
}

async function readBounded(path: string): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw new HsmError('ERR_HSM_BACKUP_INVALID', `${path}: want a file`);
      if (stats.size > maximumBackupBytes) {
        throw new HsmError(
          'ERR_HSM_BACKUP_INVALID',
          `${path}: want at most ${maximumBackupBytes} bytes, got ${stats.size}`,
        );
      }
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof HsmError) throw cause;
    const got = (cause as NodeJS.ErrnoException).code;
    throw new HsmError('ERR_HSM_BACKUP_INVALID', `${path}: want to read it, got ${got}`, { cause });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
