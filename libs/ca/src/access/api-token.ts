import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const pattern = /^nhca_([0-9a-f]{16})_([\w-]{43})$/;
const idBytes = 8;
const secretBytes = 32;

/** An API token as it is stored: by its id, its secret only as a digest. */
export interface StoredSecret {
  /** 16 hexadecimal digits: the part of the token by which it is looked up. */
  readonly id: string;
  /** SHA-256 of the whole token, in hexadecimal. 256 random bits need no slow hash. */
  readonly tokenSha256: string;
}

/** @returns `nhca_ID_SECRET` with 256 random bits in SECRET, to be shown once, and what is kept of it */
export function makeApiToken(): StoredSecret & { readonly token: string } {
  const id = randomBytes(idBytes).toString('hex');
  const token = `nhca_${id}_${randomBytes(secretBytes).toString('base64url')}`;
  return { id, token, tokenSha256: sha256(token).toString('hex') };
}

/** @returns the id of what looks like an API token */
export function apiTokenId(token: string): string | undefined {
  return pattern.exec(token)?.[1];
}

/** Takes the same time whatever the token is. */
export function isApiToken(token: string, { tokenSha256 }: StoredSecret): boolean {
  const stored = Buffer.from(tokenSha256, 'hex');
  const digest = sha256(token);
  return stored.length === digest.length && timingSafeEqual(digest, stored);
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
