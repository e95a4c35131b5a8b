import { Injectable } from '@nestjs/common';
import { ApiTokens } from '@nest-hsm/ca';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import { ClientTokens } from './client-tokens.js';
import { type Principal, principal } from './principal.js';
import { SetupToken } from './setup-token.js';

/** Finds out who makes a request. A credential that is refused is never passed over for another. */
@Injectable()
export class Authenticator {
  readonly #setup = principal('setup', { scopes: ['admin:tokens'] });

  constructor(
    private readonly setupToken: SetupToken,
    private readonly clientTokens: ClientTokens,
    private readonly apiTokens: ApiTokens,
  ) {}

  /** @throws {ApiError} ERR_API_UNAUTHENTICATED  @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async authenticate(request: FastifyRequest): Promise<Principal> {
    const { authorization } = request.headers;
    const caller = authorization === undefined ? undefined : await this.#byToken(bearerToken(authorization));
    if (caller !== undefined) return caller;
    throw new ApiError('ERR_API_UNAUTHENTICATED', 'credential: want an API token (Bearer), got none or another');
  }

  async #byToken(token: string): Promise<Principal | undefined> {
    const stored = await this.apiTokens.authenticate(token);
    if (stored !== undefined) return principal(`token:${stored.name}`, stored);
    return this.clientTokens.find(token) ?? (this.setupToken.matches(token) ? this.#setup : undefined);
  }
}

/** RFC 6750 §2.1. */
function bearerToken(authorization: string): string {
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '';
}
