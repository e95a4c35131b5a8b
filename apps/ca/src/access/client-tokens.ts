import { createHash } from 'node:crypto';
import type { ClientConfig } from './access-config.js';
import { type Principal, principal } from './principal.js';
import { readOrMakeToken } from './token-file.js';

/** Clients of the configuration that hold a token in a file. Only its SHA-256 is kept. */
export class ClientTokens {
  readonly #byDigest: ReadonlyMap<string, Principal>;

  /** @throws {ApiError} ERR_API_CONFIG when a file cannot be used */
  constructor(clients: readonly ClientConfig[]) {
    this.#byDigest = new Map(
      clients.flatMap((client) =>
        client.tokenFile === undefined
          ? []
          : [[digestOf(readOrMakeToken(client.tokenFile)), principal(`client:${client.name}`, client)] as const],
      ),
    );
  }

  /** Looks up a digest, whose octets a caller cannot choose: the time it takes says nothing about any token. */
  find(token: string): Principal | undefined {
    return this.#byDigest.get(digestOf(token));
  }
}

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');
