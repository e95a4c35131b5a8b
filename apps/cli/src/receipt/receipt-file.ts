import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CliError } from '../faults.js';

/**
 * Makes the directory that a receipt goes to, or takes the empty one of an attempt that failed.
 * @throws {CliError} ERR_CLI_ARGUMENT when something is there: no receipt is written over another
 */
export async function receiptDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    const got = (error as NodeJS.ErrnoException).code;
    if (got === 'EEXIST' && (await isEmptyDirectory(directory))) return;
    throw new CliError('ERR_CLI_ARGUMENT', `${directory}: want a new or empty directory for the receipt, got ${got}`);
  }
}

/**
 * Writes `receipt.json`, byte for byte what was signed, and `receipt.sig`, its DER signature, on the disk.
 * @throws {CliError} ERR_CLI_OUTPUT
 */
export async function writeReceipt(
  directory: string,
  { text, signature }: { readonly text: string; readonly signature?: Uint8Array },
): Promise<void> {
  try {
    await writeDurably(join(directory, 'receipt.json'), text);
    if (signature !== undefined) await writeDurably(join(directory, 'receipt.sig'), signature);
    const names = await open(directory);
    await names.sync().finally(() => names.close());
  } catch (error) {
    const got = (error as NodeJS.ErrnoException).code;
    throw new CliError('ERR_CLI_OUTPUT', `${directory}: want to write the receipt there, got ${got}`);
  }
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
export async function readArgument(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const got = (error as NodeJS.ErrnoException).code;
    throw new CliError('ERR_CLI_ARGUMENT', `${file}: want ${what}, got ${got}`);
  }
}

async function isEmptyDirectory(path: string): Promise<boolean> {
  return readdir(path).then(
    (names) => names.length === 0,
    () => false,
  );
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}
