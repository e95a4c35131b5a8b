import { isIP } from 'node:net';
import { CaError } from '../errors.js';
import { dnsName, type GeneralName, ipAddress } from '../name/general-name.js';

/** Upper bound of commonName (RFC 5280 appendix A.1, ub-common-name). */
const maximumCommonName = 64;

export interface CertifiedNames {
  /** What SubjectAltName will say; at least one. */
  readonly names: readonly GeneralName[];
  /** The subject's only attribute, always one of `names`; absent when none was asked for or it is too long for one. */
  readonly commonName?: string;
}

/**
 * The names a TLS certificate for a request carries. A commonName is one more name, under the same policy as the others
 * (RFC 9525 §2: only SubjectAltName counts). Every other attribute of the requested subject is left out, since nobody
 * vouches for it.
 * @throws {CaError} ERR_CA_NAME_INVALID | ERR_CA_NAME_MISSING
 */
export function certifiedNames(request: {
  readonly commonName?: string;
  readonly names: readonly GeneralName[];
}): CertifiedNames {
  if (request.commonName === undefined) {
    if (request.names.length === 0)
      throw new CaError('ERR_CA_NAME_MISSING', 'CSR: want a name in SubjectAltName or commonName, got none');
    return { names: request.names };
  }
  const name = isIP(request.commonName) === 0 ? dnsName(request.commonName) : ipAddress(request.commonName);
  const isListed = request.names.some((other) => other.type === name.type && other.value === name.value);
  return {
    names: isListed ? request.names : [name, ...request.names],
    commonName: name.value.length <= maximumCommonName ? name.value : undefined,
  };
}
