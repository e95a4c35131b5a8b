import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
} from 'jose';
import { ApiError } from '../problem/api-error.js';
import type { OidcConfig, OidcGrant } from './access-config.js';
import { type Principal, principal } from './principal.js';

const fetchMilliseconds = 5_000;
/** Least time between two fetches because of a key that is not known. */
const cooldownMilliseconds = 30_000;
const cacheMilliseconds = 600_000;
const maximumKeySetBytes = 512 * 1024;

/** What is wrong with the token itself; anything else is wrong with the provider. */
const faultsOfTokens = [
  errors.JWTClaimValidationFailed,
  errors.JWTExpired,
  errors.JWTInvalid,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
];

/** JSON Web Tokens of OpenID Connect providers: who signed them, for whom, until when, and what their claims let their holder do. */
export class OidcProviders {
  readonly #byIssuer: ReadonlyMap<string, { readonly config: OidcConfig; readonly keys: JWTVerifyGetKey }>;

  constructor(providers: readonly OidcConfig[]) {
    this.#byIssuer = new Map(providers.map((config) => [config.issuer, { config, keys: remoteKeys(config) }]));
  }

  /**
   * @param token  a JWS in compact form
   * @returns undefined when it is not one of a provider that is configured, or not in force
   * @throws {ApiError} ERR_API_IDENTITY_PROVIDER when the provider's keys cannot be had
   */
  async authenticate(token: string): Promise<Principal | undefined> {
    const provider = this.#byIssuer.get(unverifiedIssuer(token));
    if (provider === undefined) return undefined;
    const { issuer, audience, algorithms, clockToleranceSeconds: clockTolerance } = provider.config;
    const options = { issuer, audience, algorithms: [...algorithms], clockTolerance, requiredClaims: ['exp'] };
    try {
      const { payload } = await jwtVerify(token, provider.keys, options);
      return holderOf(payload, provider.config);
    } catch (error) {
      if (faultsOfTokens.some((fault) => error instanceof fault)) return undefined;
      const message = `identity provider ${provider.config.name}: want its keys, got ${(error as Error).message}`;
      throw new ApiError('ERR_API_IDENTITY_PROVIDER', message, { cause: error });
    }
  }
}

/** Says only which provider to ask; nothing of it is believed. */
function unverifiedIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch {
    return '';
  }
}

function holderOf(payload: JWTPayload, { name, requesterClaim, grants }: OidcConfig): Principal | undefined {
  const subject = payload[requesterClaim];
  if (typeof subject !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(subject)) return undefined;
  return principal(`oidc:${name}:${subject}`, ...grants.filter((grant) => isGiven(payload, grant)));
}

/** A claim is one text, several, or, like `scope`, several with spaces between them (RFC 8693 §4.2). */
function isGiven(payload: JWTPayload, { claim, value }: OidcGrant): boolean {
  let found: unknown = payload;
  for (const step of claim) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return false;
    found = (found as Record<string, unknown>)[step];
  }
  if (typeof found === 'string') return found === value || found.split(' ').includes(value);
  return Array.isArray(found) && found.includes(value);
}

function remoteKeys({ jwksUri }: OidcConfig): JWTVerifyGetKey {
  return createRemoteJWKSet(new URL(jwksUri), {
    timeoutDuration: fetchMilliseconds,
    cooldownDuration: cooldownMilliseconds,
    cacheMaxAge: cacheMilliseconds,
    [customFetch]: boundedFetch,
  });
}

async function boundedFetch(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, options);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > maximumKeySetBytes) throw new Error(`a key set of more than ${maximumKeySetBytes} octets`);
    chunks.push(chunk as Uint8Array);
  }
  return new Response(Buffer.concat(chunks), {
    status: response.status,
    headers: { 'content-type': 'application/json' },
  });
}
