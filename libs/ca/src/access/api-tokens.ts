import { CaError } from '../errors.js';
import type { ApiTokenRecord, ApiTokenStore } from '../store/api-token-store.js';
import { apiTokenId, isApiToken, makeApiToken } from './api-token.js';
import { type Grant, type Scope, scopes } from './scope.js';

export interface ApiTokenRequest extends Grant {
  /** Whom it is for: 1 to 64 of a-z, 0-9, `.`, `_`, `-`. Tokens of one name are one requester, so that one may replace another. */
  readonly name: string;
  readonly expiresAt: Date;
  /** Who makes it. */
  readonly createdBy: string;
}

/** What may be known of a token by those who may see that it exists. */
export type ApiTokenView = Omit<ApiTokenRecord, 'tokenSha256'>;

const namePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const longestMilliseconds = 366 * 86_400_000;

/** API tokens: random, stored as digests, with scopes and an end, revocable. */
export class ApiTokens {
  constructor(
    private readonly store: ApiTokenStore,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /**
   * Makes a token.
   * @returns the token itself, which nobody can be told again, and its record
   * @throws {CaError} ERR_CA_TOKEN_INVALID | ERR_CA_STORE_UNAVAILABLE
   */
  async create(request: ApiTokenRequest): Promise<ApiTokenView & { readonly token: string }> {
    const createdAt = this.now();
    assertSound(request, createdAt);
    const { token, id, tokenSha256 } = makeApiToken();
    const { name, expiresAt, createdBy, profiles } = request;
    const view = { id, name, scopes: [...new Set(request.scopes)], profiles, createdAt, createdBy, expiresAt };
    await this.store.insert({ ...view, tokenSha256 });
    return { ...view, token };
  }

  /** @returns the record of a token that is in force; undefined for any other. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async authenticate(token: string): Promise<ApiTokenView | undefined> {
    const id = apiTokenId(token);
    const record = id === undefined ? undefined : await this.store.find(id);
    if (record === undefined || !isApiToken(token, record)) return undefined;
    return record.revokedAt === undefined && this.now() < record.expiresAt ? viewOf(record) : undefined;
  }

  /** Every token that was made, the newest first. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async list(): Promise<ApiTokenView[]> {
    return (await this.store.list()).map(viewOf);
  }

  /** Ends a token at once. Revoking it again changes nothing. @throws {CaError} ERR_CA_TOKEN_NOT_FOUND | ERR_CA_STORE_UNAVAILABLE */
  async revoke(id: string): Promise<void> {
    if (!(await this.store.revoke(id, this.now())))
      throw new CaError(
        'ERR_CA_TOKEN_NOT_FOUND',
        `API token: want the id of one, got ${JSON.stringify(id.slice(0, 64))}`,
      );
  }
}

function assertSound({ name, scopes: asked, profiles, expiresAt }: ApiTokenRequest, now: Date): void {
  const faults = [
    !namePattern.test(name) && 'name: want 1 to 64 of a-z, 0-9, ".", "_" and "-"',
    asked.length === 0 && `scopes: want at least one of ${scopes.join(', ')}`,
    ...asked.map(
      (scope) => !isScope(scope) && `scopes: want some of ${scopes.join(', ')}, got ${JSON.stringify(scope)}`,
    ),
    profiles?.length === 0 && 'profiles: want at least one, or absent for all',
    profiles?.some((profile) => !namePattern.test(profile)) === true && 'profiles: want names of profiles',
    !(expiresAt > now && expiresAt.getTime() - now.getTime() <= longestMilliseconds) &&
      'expiry: want a time to come, at most 366 days away',
  ].filter((fault) => fault !== false);
  if (faults.length > 0) throw new CaError('ERR_CA_TOKEN_INVALID', `API token: ${faults.join('; ')}`);
}

function isScope(text: string): text is Scope {
  return (scopes as readonly string[]).includes(text);
}

function viewOf({ tokenSha256: _, ...view }: ApiTokenRecord): ApiTokenView {
  return view;
}
