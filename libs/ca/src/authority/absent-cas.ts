import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import type { IssuerInUse } from '../store/authority-store.js';
import type { CrlStore } from '../store/crl-store.js';
import { certificateKeyId } from './ca-key.js';
import { configuredCas, ofGeneration } from './configured-ca.js';
import type { Generation } from './issuers.js';
import type { CaSource } from './load-ca.js';

/** A CA of ours that cannot sign here now, and whose CRLs are looked for. */
export interface AbsentCa {
  /** Key identifier in hexadecimal. */
  readonly id: string;
  /** Its key is kept elsewhere; else it is an issuer that should be in service, and is not. */
  readonly isOffline: boolean;
}

export interface AbsentContext extends CaSource {
  readonly crls: CrlStore;
  /** At this moment. */
  readonly generations: () => readonly Generation[];
  /** Ids of the CAs above them whose keys are at hand. */
  readonly superiors: ReadonlySet<string>;
  readonly now: () => Date;
}

/** Every CA that cannot sign here and is looked for all the same. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
export async function absentCas(context: AbsentContext): Promise<AbsentCa[]> {
  const above = await absentSuperiors(context);
  const issuers = (await issuersOut(context)).filter(({ issuerId }) => !above.has(issuerId));
  return [
    ...[...above].map((id) => ({ id, isOffline: true })),
    ...issuers.map(({ issuerId: id }) => ({ id, isOffline: false })),
  ];
}

/**
 * No issuer leaves the configuration, with its CRLs, OCSP and revocations, while somebody holds a certificate of it. One that is named and
 * cannot be loaded is no reason for the others not to serve.
 * @throws {CaError} ERR_CA_ISSUER_UNNAMED | ERR_CA_STORE_UNAVAILABLE
 */
export async function assertIssuersNamed(context: AbsentContext): Promise<void> {
  const above = new Set(context.generations().flatMap(links).map(([, ca]) => certificateKeyId(ca))); // prettier-ignore
  for (const { issuerId, notAfter } of await issuersOut(context)) {
    if (above.has(issuerId) || (await isNamed(context, issuerId))) continue;
    throw new CaError(
      'ERR_CA_ISSUER_UNNAMED',
      `issuer ${issuerId}: want it in authority.issuers until its last certificate expires on ${notAfter.toISOString()}, or in authority.abandoned, got a configuration without it`,
    );
  }
}

/** CAs above those in service whose keys are kept elsewhere: their CRL is stored, or a certificate below names it. */
async function absentSuperiors({ crls, generations, superiors }: AbsentContext): Promise<Set<string>> {
  const absent = new Set<string>();
  for (const [below, ca] of generations().flatMap(links)) {
    const id = certificateKeyId(ca);
    if (superiors.has(id) || absent.has(id)) continue;
    const isWritten = below.der.includes(`/v1/crl/${id}/`);
    if (isWritten || (await crls.newest({ issuerId: id, shard: 0, kind: 'full' })) !== undefined) absent.add(id);
  }
  return absent;
}

/** Issuers of certificates that have not expired, and that are neither in service nor given up. */
async function issuersOut(context: AbsentContext): Promise<IssuerInUse[]> {
  const { authorities, config, generations, superiors, now } = context;
  const known = new Set([...generations().map(({ issuer }) => issuer.id), ...superiors, ...config.authority.abandoned]);
  return (await authorities.listIssuersInUse(now())).filter(({ issuerId }) => !known.has(issuerId));
}

/** Whether the key is that of a configured CA in one of its generations, by the names in its certificates. */
async function isNamed({ authorities, certificates, config }: AbsentContext, id: string): Promise<boolean> {
  const rows = await authorities.listGenerations();
  const names = configuredCas(config.authority).flatMap((ca) => {
    const generations = [1, ...rows.filter(({ name }) => name === ca.name).map(({ generation }) => generation)];
    return generations.map((generation) => encodeDistinguishedName(ofGeneration(ca, generation).subject));
  });
  const issued = await certificates.listAuthority(id);
  const imported = await authorities.listImported({ subjectKeyId: id });
  return [...issued, ...imported].some(({ certificate = Buffer.alloc(0) }) =>
    names.some((name) => readCaCertificate(certificate).subject.equals(name)),
  );
}

/** Each certificate of a generation's chains, with that of its issuer. */
function links({ issuer, alternativeChains }: Generation): [CaCertificate, CaCertificate][] {
  return [issuer.chain, ...alternativeChains].flatMap((chain) =>
    chain.slice(1).map((above, index): [CaCertificate, CaCertificate] => [chain[index], above]),
  );
}
