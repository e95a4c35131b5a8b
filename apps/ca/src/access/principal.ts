import type { Grant, Scope } from '@nest-hsm/ca';
import { ApiError } from '../problem/api-error.js';

/** Who makes a request, proven, and what they may do. */
export interface Principal {
  /** `client:NAME` (configuration), `token:NAME` (API token), `oidc:PROVIDER:SUBJECT` or `setup`. Kept with what they ask for. */
  readonly requester: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Under which profiles they may do what a scope says; any, for a scope that is not here. */
  readonly profiles: ReadonlyMap<Scope, ReadonlySet<string>>;
}

/** What several grants give is what each of them gives: the profiles of one limit no scope of another. */
export function principal(requester: string, ...grants: readonly Grant[]): Principal {
  const scopes = new Set(grants.flatMap((grant) => grant.scopes));
  const profiles = new Map<Scope, ReadonlySet<string>>();
  for (const scope of scopes) {
    const giving = grants.filter((grant) => grant.scopes.includes(scope));
    if (giving.every((grant) => grant.profiles !== undefined))
      profiles.set(scope, new Set(giving.flatMap((grant) => grant.profiles ?? [])));
  }
  return { requester, scopes, profiles };
}

/** Whether they have a scope, and for this profile. */
export function mayUse({ scopes, profiles }: Principal, scope: Scope, profile: string): boolean {
  return scopes.has(scope) && profiles.get(scope)?.has(profile) !== false;
}

/**
 * @param scope  that they have
 * @throws {ApiError} ERR_API_FORBIDDEN when they may not do under a profile what it says
 */
export function assertMayUse({ requester, profiles }: Principal, scope: Scope, profile: string): void {
  const may = profiles.get(scope);
  if (may === undefined || may.has(profile)) return;
  throw new ApiError(
    'ERR_API_FORBIDDEN',
    `profile: want one that ${requester} has ${scope} for (${[...may].join(', ')}), got ${JSON.stringify(profile.slice(0, 64))}`,
  );
}
