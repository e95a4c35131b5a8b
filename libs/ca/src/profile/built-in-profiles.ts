import { oids } from '../der/oid.js';
import type { ProfileInput } from './profile-schema.js';

const tls = {
  validityDays: 90,
  subject: { commonName: 'name' },
  subjectAltName: { allowed: ['dns', 'ip'], required: ['any'] },
  // TLS keys sign and never encrypt: every cipher suite still in use is ephemeral (RFC 9325 §4.1).
  keyUsage: ['digitalSignature'],
} satisfies ProfileInput;

/**
 * Below the enterprise number for documentation (RFC 5612), which is nobody's: it claims nothing. It stands where zlint wants some policy,
 * as it does of whatever is for servers, until an operator names one of their own.
 */
const placeholderPolicy = { oid: '1.3.6.1.4.1.32473.1' };

const person = {
  validityDays: 365,
  subject: { commonName: 'required', organization: 'optional', organizationalUnit: 'optional', country: 'optional' },
} satisfies ProfileInput;

/** Starting points: a profile of that name, or one that extends it, says only what is different. */
export const builtInProfiles: Readonly<Record<string, ProfileInput>> = {
  'tls-server': { ...tls, extendedKeyUsage: ['serverAuth'], policies: [placeholderPolicy] },
  'tls-client': { ...tls, extendedKeyUsage: ['clientAuth'] },
  /** Both ends of mutual TLS, as a mesh wants it; a SPIFFE ID is a name like the others. */
  mutual: {
    ...tls,
    subjectAltName: { allowed: ['dns', 'ip', 'uri'], required: ['any'] },
    extendedKeyUsage: ['serverAuth', 'clientAuth'],
    policies: [placeholderPolicy],
  },
  /**
   * Without a policy of its own whatever is below it would be under none (RFC 5280 §6.1.3 (e)). Its name is what the Forum wants of a
   * CA's (CABF BR §7.1.2.10.2).
   */
  intermediate: {
    validityDays: 1825,
    subject: { country: 'required', organization: 'required', commonName: 'required' },
    keys: ['rsa', 'ec-p256', 'ec-p384'],
    keyUsage: ['keyCertSign', 'cRLSign'],
    authority: { pathLength: 0 },
    policies: [{ oid: oids.anyPolicy }],
  },
  /** Its own status is not asked for, so it is renewed often (RFC 6960 §4.2.2.2.1). */
  'ocsp-responder': {
    validityDays: 14,
    subject: { country: 'optional', organization: 'optional', commonName: 'required' },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['ocspSigning'],
    ocspNoCheck: true,
    caIssuers: [],
    ocsp: [],
    crl: [],
  },
  'code-signing': {
    ...person,
    keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521'],
    minimumRsaBits: 3072,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['codeSigning'],
  },
  /** RSA keys decrypt with keyEncipherment, EC keys with keyAgreement. */
  smime: {
    ...person,
    subject: { ...person.subject, commonName: 'optional' },
    subjectAltName: { allowed: ['email'], required: ['email'] },
    keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    extendedKeyUsage: ['emailProtection'],
  },
  /** RFC 9336. */
  'document-signing': {
    ...person,
    keyUsage: ['digitalSignature', 'nonRepudiation'],
    extendedKeyUsage: ['documentSigning'],
  },
  /** A device is known by its serial number (IEEE 802.1AR §8.6) and by the names it has in the network. */
  device: {
    validityDays: 365,
    subject: { serialNumber: 'required', commonName: 'optional', organization: 'optional' },
    subjectAltName: { allowed: ['dns', 'ip', 'uri'] },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['clientAuth'],
  },
  /** As the Baseline Requirements of the CA/Browser Forum have them: for servers domain-validated, for mail mailbox-validated and strict. */
  'public-tls-server': {
    ...tls,
    publicStyle: true,
    keys: ['rsa', 'ec-p256', 'ec-p384'],
    extendedKeyUsage: ['serverAuth'],
    policies: [{ oid: '2.23.140.1.2.1' }],
  },
  'public-smime': {
    publicStyle: true,
    validityDays: 365,
    subject: { commonName: 'name' },
    subjectAltName: { allowed: ['email'], required: ['email'] },
    keys: ['rsa', 'ec-p256', 'ec-p384', 'ed25519'],
    keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    extendedKeyUsage: ['emailProtection'],
    policies: [{ oid: '2.23.140.1.5.1.3' }],
  },
  'public-code-signing': {
    publicStyle: true,
    validityDays: 365,
    subject: {
      commonName: 'required',
      organization: 'required',
      locality: 'required',
      stateOrProvince: 'optional',
      country: 'required',
    },
    keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521'],
    minimumRsaBits: 3072,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['codeSigning'],
    policies: [{ oid: '2.23.140.1.4.1' }],
  },
};

/** What a CA offers whose configuration says nothing. */
export const defaultProfiles = { 'tls-server': {}, 'tls-client': {} } satisfies Record<string, ProfileInput>;
