import { isCaError } from '../errors.js';
import type { Issuer } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import { findCaKey } from './ca-key.js';
import { configuredCas } from './configured-ca.js';
import { type CaSource, loadCa } from './load-ca.js';

/**
 * Root and intermediates whose keys are on the token at this moment: they can say which of their CAs is revoked. One that is
 * kept offline publishes its CRL where it is.
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
 */
export async function loadSuperiors(source: CaSource & { readonly observer: CaObserver }): Promise<Issuer[]> {
  const superiors: Issuer[] = [];
  for (const ca of configuredCas(source.config.authority)) {
    if (ca.kind === 'issuing' || (await findCaKey(source.token, ca)) === undefined) continue;
    try {
      superiors.push((await loadCa(source, ca)).issuer);
    } catch (error) {
      // Its certificate is still to come; or it is damaged, which is no reason for its subordinates not to serve.
      if (isCaError(error, 'ERR_CA_ISSUER_UNUSABLE')) source.observer.jobFailed?.('issuers', error);
      else if (!isCaError(error, 'ERR_CA_NOT_INITIALIZED')) throw error;
    }
  }
  return superiors;
}
