import { type FileHandle, open } from 'node:fs/promises';

/**
 * Has the next fdatasync of this process fail once. No file system does so on demand; after it, as after that of a real disk, all
 * goes on as if nothing had been.
 * @param path  of any file that is there
 */
export async function failNextSync(path: string): Promise<void> {
  const restore = await failSyncs(path, () => restore());
}

/**
 * Has every fdatasync of this process fail.
 * @param path  of any file that is there
 * @returns ends that
 */
export async function failSyncs(path: string, failed = (): void => undefined): Promise<() => void> {
  const file = await open(path);
  const prototype = Object.getPrototypeOf(file) as Pick<FileHandle, 'datasync'>;
  await file.close();
  const { datasync } = prototype;
  prototype.datasync = () => {
    failed();
    return Promise.reject(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
  };
  return () => void (prototype.datasync = datasync);
}
