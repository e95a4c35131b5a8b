import type { KeyObject } from 'node:crypto';
import type { KeyAlgorithm } from '../algorithm/key-algorithm.js';

declare const keyIdBrand: unique symbol;
/** CKA_ID of a key: 16 bytes as 32 lower-case hexadecimal digits, drawn before the key is made (key-version.ts). */
export type KeyId = string & { readonly [keyIdBrand]: true };

/**
 * The one thing a key may be used for. Roles are disjoint on the token (every usage attribute is stated, SECURITY.md):
 * `sign`: C_Sign only · `encrypt`: AES-256-GCM encrypt and decrypt (a KEK) · `wrap`: wrap and unwrap token keys, never
 * data · `mac`: HMAC only · `unwrap`: an RSA pair whose public half wraps and whose private half unwraps, never decrypts.
 */
export const keyUsages = ['sign', 'encrypt', 'wrap', 'mac', 'unwrap'] as const;
export type KeyUsage = (typeof keyUsages)[number];

/** What the token says about one key. Never key bytes, never a handle. */
export interface KeyDescription {
  readonly id: KeyId;
  readonly label: string;
  readonly algorithm: KeyAlgorithm;
  readonly usage: KeyUsage;
  /** DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of an asymmetric key. */
  readonly spki?: Buffer;
  /** True only for a key made to be wrapped once (replication); such keys are refused for everything else. */
  readonly extractable: boolean;
}

/** The key pair of probes, found on each member or made there: it signs random bytes and nothing else. */
export const probeKeyLabel = 'nest-hsm-probe';

/** The RSA pair by which a member takes keys in (keyring/enrolment.ts). */
export const memberKeyLabel = 'nest-hsm-member';

/** The RSA pair of a recovery token, which alone opens what was left to it. */
export const recoveryKeyLabel = 'nest-hsm-recovery';

/** Which keys are meant: every field that is present must match; none matches every key. */
export interface KeySelector {
  readonly id?: KeyId;
  readonly label?: string;
  readonly usage?: KeyUsage;
  /** Of the versions of a key (`Hsm.rotateKey`) this one. */
  readonly version?: number;
}

/** A key on a token, as plugins hold it: an immutable description with its RFC 7512 URI. */
export interface HsmKey extends KeyDescription {
  /** `pkcs11:token=…;id=…;object=…;type=private|secret-key`: what to store to find this key again. */
  readonly uri: string;
  /** The public half in software, present for asymmetric keys. */
  readonly publicKey?: KeyObject;
  /** 1 for the first; each that was rotated to has the next. */
  readonly version: number;
  /** The day it was made (UTC), `YYYY-MM-DD`; absent when it was not made by this library, or by an early release. */
  readonly madeOn?: string;
  /** The members that were asked for it and have it. */
  readonly members: readonly string[];
}
