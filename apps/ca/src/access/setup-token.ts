import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { ApiError } from '../problem/api-error.js';

const minimumCharacters = 32;

/** The secret that stands for every caller until there are API clients. Only its SHA-256 is kept. */
export class SetupToken {
  readonly #digest: Buffer;

  constructor(token: string) {
    this.#digest = sha256(token);
  }

  /**
   * Reads the token's file, or makes it with 256 random bits when it is missing.
   * @throws {ApiError} ERR_API_CONFIG when others may read it or it is too short
   */
  static ofFile(file: string): SetupToken {
    try {
      return new SetupToken(createTokenFile(file) ?? readTokenFile(file));
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const message = `setupTokenFile: want a file to read or make, got ${(error as Error).message}`;
      throw new ApiError('ERR_API_CONFIG', message, { cause: error });
    }
  }

  /** Takes the same time whatever the token is. */
  matches(token: string): boolean {
    return timingSafeEqual(sha256(token), this.#digest);
  }
}

/** @returns undefined when there is something of that name already */
function createTokenFile(file: string): string | undefined {
  const token = randomBytes(32).toString('base64url');
  try {
    writeFileSync(file, `${token}\n`, { flag: 'wx', mode: 0o600 });
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

function readTokenFile(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { mode } = fstatSync(descriptor);
    if ((mode & 0o077) !== 0)
      throw new ApiError(
        'ERR_API_CONFIG',
        `setupTokenFile ${file}: want mode 0600, got 0${(mode & 0o777).toString(8)}`,
      );
    const token = readFileSync(descriptor, 'utf8').trim();
    if (token.length < minimumCharacters)
      throw new ApiError(
        'ERR_API_CONFIG',
        `setupTokenFile ${file}: want at least ${minimumCharacters} characters, got ${token.length}`,
      );
    return token;
  } finally {
    closeSync(descriptor);
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
