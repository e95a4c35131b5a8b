import type { GeneralName } from '../name/general-name.js';
import type { Profile } from '../profile/profile.js';
import type { CertificateView } from './certificate-view.js';
import type { Rule } from './lint.js';
import type { Validity } from './tbs-certificate.js';

/** What the certificate was meant to say, from policy and issuer, not from the encoder. */
export interface CertificateIntent {
  readonly profile: Profile;
  readonly selfSigned: boolean;
  readonly serial: Buffer;
  /** Subject of the issuer's certificate, DER. */
  readonly issuerName: Buffer;
  readonly issuerKeyIdentifier: Buffer;
  /** Of the issuer's certificate; absent for a self-signed one. */
  readonly issuerValidity?: Validity;
  readonly signatureAlgorithm: Buffer;
  /** DER of the Name. */
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  /** Names of SubjectAltName, exactly; empty for a CA. */
  readonly names: readonly GeneralName[];
  /** Extensions that profile and issuer fix, DER. */
  readonly fixedExtensions: readonly Buffer[];
}

export interface CertificateUnderLint {
  readonly view: CertificateView;
  readonly intent: CertificateIntent;
}
export type CertificateRule = Rule<CertificateUnderLint>;
