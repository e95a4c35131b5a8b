import type { HsmKey } from '@nest-hsm/hsm';
import { parseDer } from '../der/der-reader.js';
import { oids } from '../der/oid.js';
import { CertificateTemplate } from '../issuance/certificate-template.js';
import type { CertificateOrder } from '../issuance/certificate-order.js';
import type { Issuer } from '../issuance/issuer.js';
import type { IssuerLocations } from '../issuance/locations.js';
import { validityOf } from '../issuance/validity.js';
import {
  attributeValueSchemas,
  encodeDistinguishedName,
  nameAttributes,
  readDirectoryString,
  readDistinguishedName,
  type SubjectAttributes,
} from '../name/distinguished-name.js';
import { type Profile, profileDefaults, sealProfile } from '../profile/profile.js';

/** No requester can name it: profiles of the configuration have no spaces. */
export const responderProfileName = 'own OCSP responder';

/** A delegated responder whose own status is not asked for, so it is renewed often (RFC 6960 §4.2.2.2.1). */
function responderProfile(validityDays: number): Profile {
  return sealProfile({
    ...profileDefaults,
    name: responderProfileName,
    validitySeconds: validityDays * 86_400,
    subject: { country: 'optional', organization: 'optional', commonName: 'required' },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [oids.ocspSigning],
    ocspNoCheck: true,
    caIssuers: [],
    ocsp: [],
    crl: [],
  });
}

/** Whoever takes the issuer's signatures can verify the responder's as well. */
export function responderAlgorithm(issuer: Issuer): 'ec-p256' | 'rsa-2048' {
  return issuer.key.algorithm.startsWith('rsa') ? 'rsa-2048' : 'ec-p256';
}

/** A certificate for the responder's key, by the issuer it answers for. */
export function responderOrder(
  issuer: Issuer,
  key: Pick<HsmKey, 'spki'>,
  { locations, validityDays, now }: { locations: IssuerLocations; validityDays: number; now: Date },
): CertificateOrder {
  const profile = responderProfile(validityDays);
  const kind = responderAlgorithm(issuer) === 'rsa-2048' ? 'rsa' : 'ec-p256';
  return {
    ...new CertificateTemplate(profile, issuer, locations).contentFor(kind),
    subject: encodeDistinguishedName({
      ...operatorOf(issuer),
      commonName: `OCSP responder of ${issuer.id.slice(0, 16)}`,
    }),
    subjectPublicKeyInfo: key.spki ?? Buffer.alloc(0),
    names: [],
    validity: validityOf(profile, now, issuer.certificate.validity),
    requester: 'ocsp',
  };
}

/** Whose responder it is, as far as the issuer's subject says it in a form that is written here (CABF BR §7.1.2.8, §7.1.2.10.2). */
function operatorOf({ name }: Issuer): SubjectAttributes {
  const attributes = readDistinguishedName(parseDer(name)) ?? [];
  const found = (['country', 'organization'] as const).flatMap((attribute) => {
    const value = attributes.find(({ type }) => type === nameAttributes[attribute].oid)?.value;
    const text = value && attributeValueSchemas[attribute].safeParse(readDirectoryString(value)).data;
    return text === undefined ? [] : [[attribute, text] as const];
  });
  return Object.fromEntries(found);
}
