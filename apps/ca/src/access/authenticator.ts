import { Injectable } from '@nestjs/common';
import { ApiTokens } from '@nest-hsm/ca';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import { ClientCertificates } from './client-certificates.js';
import { ClientTokens } from './client-tokens.js';
import { OidcProviders } from './oidc.js';
import { PresentedCertificate } from './presented-certificate.js';
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
    private readonly oidc: OidcProviders,
    private readonly presented: PresentedCertificate,
    private readonly clientCertificates: ClientCertificates,
  ) {}

  /** @throws {ApiError} ERR_API_UNAUTHENTICATED | ERR_API_IDENTITY_PROVIDER  @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async authenticate(request: FastifyRequest): Promise<Principal> {
    const { authorization } = request.headers;
    const caller =
      authorization === undefined ? this.#byCertificate(request) : await this.#byToken(bearerToken(authorization));
    if (caller !== undefined) return caller;
    throw new ApiError(
      'ERR_API_UNAUTHENTICATED',
      'credential: want a token (Bearer) or a client certificate that is known, got none or another',
    );
  }

  #byCertificate(request: FastifyRequest): Principal | undefined {
    const certificate = this.presented.of(request);
    return certificate && this.clientCertificates.find(certificate);
  }

  async #byToken(token: string): Promise<Principal | undefined> {
    // API tokens and those of files have no dots, a JWT has two.
    if (token.includes('.')) return this.oidc.authenticate(token);
    const stored = await this.apiTokens.authenticate(token);
    if (stored !== undefined) return principal(`token:${stored.name}`, stored);
    return this.clientTokens.find(token) ?? (this.setupToken.matches(token) ? this.#setup : undefined);
  }
}

/** RFC 6750 §2.1. */
function bearerToken(authorization: string): string {
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '';
}
