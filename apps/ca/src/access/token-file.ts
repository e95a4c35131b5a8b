import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { ApiError } from '../problem/api-error.js';

const minimumCharacters = 32;

/**
 * Reads a token's file, or makes it (0600) with 256 random bits when it is missing.
 * @throws {ApiError} ERR_API_CONFIG when others may read it or it is too short
 */
export function readOrMakeToken(file: string): string {
  try {
    return makeFile(file) ?? readFile(file);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const message = `token file: want one to read or make, got ${(error as Error).message}`;
    throw new ApiError('ERR_API_CONFIG', message, { cause: error });
  }
}

/** @returns undefined when there is something of that name already */
function makeFile(file: string): string | undefined {
  const token = randomBytes(32).toString('base64url');
  try {
    writeFileSync(file, `${token}\n`, { flag: 'wx', mode: 0o600 });
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

function readFile(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { mode } = fstatSync(descriptor);
    if ((mode & 0o077) !== 0) refuse(file, `mode 0600, got 0${(mode & 0o777).toString(8)}`);
    const token = readFileSync(descriptor, 'utf8').trim();
    if (token.length < minimumCharacters) refuse(file, `at least ${minimumCharacters} characters, got ${token.length}`);
    return token;
  } finally {
    closeSync(descriptor);
  }
}

function refuse(file: string, wish: string): never {
  throw new ApiError('ERR_API_CONFIG', `token file ${file}: want ${wish}`);
}
