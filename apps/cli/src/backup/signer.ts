import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fingerprint } from '@nest-hsm/hsm';
import { CliError } from '../faults.js';

export interface SignerOptions {
  readonly key?: string;
  readonly fingerprint?: string;
}

/**
 * Whose signature a backup is to have: of a PEM file, or by its fingerprint.
 * @returns SHA-256 of its SubjectPublicKeyInfo, hexadecimal
 * @throws {CliError} ERR_CLI_ARGUMENT
 */
export async function signerOf({ key, fingerprint: given }: SignerOptions): Promise<string> {
  if ((key === undefined) === (given === undefined)) {
    throw new CliError('ERR_CLI_ARGUMENT', 'want --key FILE or --fingerprint HEX, from where the backup is not');
  }
  if (key === undefined) return given as string;
  try {
    return fingerprint(createPublicKey(await readFile(key)).export({ format: 'der', type: 'spki' }));
  } catch {
    throw new CliError('ERR_CLI_ARGUMENT', `--key: want the PEM file of a public key, got ${key}`);
  }
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
export function parseFingerprint(value: string): string {
  const digits = value.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(digits)) return digits;
  throw new CliError('ERR_CLI_ARGUMENT', '--fingerprint: want 64 hexadecimal digits');
}
