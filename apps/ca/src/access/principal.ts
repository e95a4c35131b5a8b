import type { Grant, Scope } from '@nest-hsm/ca';
import { ApiError } from '../problem/api-error.js';

/** Who makes a request, proven, and what they may do. */
export interface Principal {
  /** `client:NAME` (configuration), `token:NAME` (API token), `oidc:PROVIDER:SUBJECT` or `setup`. Kept with what they ask for. */
  readonly requester: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Profiles they may ask for; absent: any. */
  readonly profiles?: ReadonlySet<string>;
}

export function principal(requester: string, { scopes, profiles }: Grant): Principal {
  return { requester, scopes: new Set(scopes), ...(profiles !== undefined && { profiles: new Set(profiles) }) };
}

/** @throws {ApiError} ERR_API_FORBIDDEN */
export function assertMayAskFor({ requester, profiles }: Principal, profile: string): void {
  if (profiles === undefined || profiles.has(profile)) return;
  const want = [...profiles].join(', ');
  throw new ApiError(
    'ERR_API_FORBIDDEN',
    `profile: want one that ${requester} may ask for (${want}), got ${JSON.stringify(profile.slice(0, 64))}`,
  );
}
