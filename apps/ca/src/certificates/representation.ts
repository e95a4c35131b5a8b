import { ApiError } from '../problem/api-error.js';

/** RFC 8555 §9.1: the certificate first, each next one certifies the one before. */
export const pemChainType = 'application/pem-certificate-chain';
const pemTypes = new Set([pemChainType, 'application/x-pem-file']);
const jsonTypes = new Set(['application/json', 'application/*', '*/*']);

export type Representation = 'application/json' | typeof pemChainType;

/**
 * The first acceptable representation that Accept names, JSON for a wildcard. Weights are not compared: there are two.
 * @throws {ApiError} ERR_API_NOT_ACCEPTABLE
 */
export function negotiate(accept = '*/*'): Representation {
  for (const range of accept.split(',')) {
    const type = range.split(';')[0].trim().toLowerCase();
    if (pemTypes.has(type)) return pemChainType;
    if (jsonTypes.has(type)) return 'application/json';
  }
  throw new ApiError('ERR_API_NOT_ACCEPTABLE', `Accept: want application/json or ${pemChainType}`);
}
