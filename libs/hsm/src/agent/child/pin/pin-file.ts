import { randomBytes, timingSafeEqual } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HsmError } from '../../../errors.js';
import { readPin } from './pin-source.js';

const pinDigits = 32;

/**
 * 128 random bits in hexadecimal, or as many of them as the token takes. The caller zeroes it.
 * @param maximumBytes  of a PIN, as the token says; 0 when it does not
 */
export function randomPin(maximumBytes = 0): Buffer {
  const digits = maximumBytes > 0 ? Math.min(pinDigits, maximumBytes) : pinDigits;
  return Buffer.from(
    randomBytes(pinDigits / 2)
      .toString('hex')
      .slice(0, digits),
  );
}

/**
 * Makes a PIN file (0600) that did not exist, whole and on the disk before it has its name: the only copy of a PIN must not be
 * lost to a crash right after a token took it.
 * @returns false when the file was there; it is left as it is
 * @throws {HsmError} ERR_HSM_PIN_SOURCE
 */
export async function makePinFile(path: string, pin: Buffer): Promise<boolean> {
  const temporary = `${path}.${process.pid}`;
  try {
    await rm(temporary, { force: true });
    await writeDurably(temporary, pin);
    return await nameUnlessThere(temporary, path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want to make it, got ${code}`, { cause });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** Puts the file with the next PIN in the place of the current one, at once for whoever reads it. @throws {HsmError} ERR_HSM_PIN_SOURCE */
export async function replacePinFile(path: string, next: string): Promise<void> {
  try {
    await rename(next, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want to replace it by ${next}, got ${code}`, { cause });
  }
}

/**
 * Keeps the file with the current PIN under a second name too, since other tokens may have that PIN. Done again, it does nothing.
 * @throws {HsmError} ERR_HSM_PIN_SOURCE when that name has another PIN, which would be lost
 */
export async function keepPinFile(path: string, old: string): Promise<void> {
  await assertMayKeep(path, old);
  try {
    if (await nameUnlessThere(path, old)) return;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN file ${path}: want to keep it as ${old}, got ${code}`, { cause });
  }
}

/** @throws {HsmError} ERR_HSM_PIN_SOURCE when `keepPinFile` would lose a PIN */
export async function assertMayKeep(path: string, old: string): Promise<void> {
  const kept = await readPin({ file: old }).catch((error: HsmError) => {
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    throw error;
  });
  if (kept === undefined) return;
  try {
    const pin = await readPin({ file: path });
    const isSame = pin.length === kept.length && timingSafeEqual(pin, kept);
    pin.fill(0);
    if (isSame) return;
  } finally {
    kept.fill(0);
  }
  const message = `PIN file ${path}: want no other PIN in ${old}: give the tokens that still have that one a new one, then delete it`;
  throw new HsmError('ERR_HSM_PIN_SOURCE', message);
}

async function writeDurably(path: string, pin: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.write(Buffer.concat([pin, Buffer.from('\n')]));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function nameUnlessThere(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await syncDirectory(dirname(path));
  return true;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
