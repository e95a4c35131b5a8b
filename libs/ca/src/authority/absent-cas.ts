import type { CaCertificate } from '../issuance/ca-certificate.js';
import type { CrlStore } from '../store/crl-store.js';
import { certificateKeyId } from './ca-key.js';
import type { Generation } from './issuers.js';

/**
 * CAs above those in service that cannot sign here, since their keys are kept elsewhere, and whose CRLs are looked for all the same: one is
 * stored, or a certificate below names it.
 * @param present  ids of the CAs that can
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
 */
export async function absentSuperiors(
  crls: CrlStore,
  generations: readonly Generation[],
  present: ReadonlySet<string>,
): Promise<string[]> {
  const absent = new Set<string>();
  for (const [below, ca] of generations.flatMap(links)) {
    const id = certificateKeyId(ca);
    if (present.has(id) || absent.has(id)) continue;
    const isNamed = below.der.includes(`/v1/crl/${id}/`);
    if (isNamed || (await crls.newest({ issuerId: id, shard: 0, kind: 'full' })) !== undefined) absent.add(id);
  }
  return [...absent];
}

/** Each certificate of a generation's chains, with that of its issuer. */
function links({ issuer, alternativeChains }: Generation): [CaCertificate, CaCertificate][] {
  return [issuer.chain, ...alternativeChains].flatMap((chain) =>
    chain.slice(1).map((above, index): [CaCertificate, CaCertificate] => [chain[index], above]),
  );
}
