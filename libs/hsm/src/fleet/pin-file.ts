/** Whether a PIN that was refused has been mended: told by its file's identity and times, since only an agent reads what is in it. */
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const pollMilliseconds = 500;

/** A PIN file as it was when an agent was about to read it. */
export interface SeenPinFile {
  readonly path: string;
  readonly identity: string;
}

export async function lookAtPinFile(path: string): Promise<SeenPinFile> {
  return { path, identity: await identityOf(path) };
}

/** @throws {Error} AbortError */
export async function untilChanged({ path, identity }: SeenPinFile, signal: AbortSignal): Promise<void> {
  do await delay(pollMilliseconds, undefined, { signal, ref: false });
  while ((await identityOf(path)) === identity);
}

async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  } catch {
    // It is missing for a moment while somebody puts another in its place.
    return 'none';
  }
}
