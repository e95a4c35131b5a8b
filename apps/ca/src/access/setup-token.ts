import { createHash, timingSafeEqual } from 'node:crypto';
import { readOrMakeToken } from './token-file.js';

/** The secret of whoever sets the service up: it makes the first API tokens and can do nothing else. Only its SHA-256 is kept. */
export class SetupToken {
  readonly #digest: Buffer;

  constructor(token: string) {
    this.#digest = sha256(token);
  }

  /** @throws {ApiError} ERR_API_CONFIG when the file cannot be used; it is made when it is missing */
  static ofFile(file: string): SetupToken {
    return new SetupToken(readOrMakeToken(file));
  }

  /** Takes the same time whatever the token is. */
  matches(token: string): boolean {
    return timingSafeEqual(sha256(token), this.#digest);
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
