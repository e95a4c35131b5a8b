import { chmod, mkdir, stat } from 'node:fs/promises';
import { HsmError } from '../../../errors.js';

/** Makes the directory, or checks that it is ours alone. @throws {HsmError} ERR_HSM_CONFIG_INVALID */
export async function ensureStateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const stats = await stat(path);
    if (!stats.isDirectory() || stats.uid !== process.getuid?.()) {
      throw new HsmError('ERR_HSM_CONFIG_INVALID', `state directory ${path}: want a directory owned by this user`);
    }
    if ((stats.mode & 0o077) !== 0) await chmod(path, 0o700);
  } catch (cause) {
    if (cause instanceof HsmError) throw cause;
    throw new HsmError('ERR_HSM_CONFIG_INVALID', `state directory ${path}: want to make and use it`, { cause });
  }
}
