/** What a vendor's token does in its own way. Every other file reads these facts instead of asking for the vendor. */
import type { KeyFamily } from '../../../algorithm/key-algorithm.js';
import type { AgentSettings } from '../../protocol.js';
import { ck } from './native.js';
import type { AttributeName } from './object-reader.js';

export interface VendorProfile {
  readonly name: 'softhsm' | 'cloudhsm' | 'generic';
  readonly gcm: {
    readonly mechanism: number;
    /** `caller`: the agent draws 12 random bytes; `prepended`: the token draws it and puts it before the ciphertext. */
    readonly nonce: 'caller' | 'prepended';
    /** The longest plaintext of one call, in bytes. */
    readonly maximumBytes: number;
  };
  readonly oaepHashes: readonly ('sha1' | 'sha256')[];
  /** AES-KW (RFC 3394) and AES-KWP (RFC 5649), which PKCS #11 v2.40 left without a number of its own. */
  readonly aesKw: { readonly kw: number; readonly kwp: number };
  /** Protections that the vendor does not know, or not with the value we want: neither stated nor read back. */
  readonly unsupportedAttributes: readonly AttributeName[];
  /** Whether CKA_VALUE_LEN of an unwrapped secret key is 0 instead of its length. */
  readonly hidesUnwrappedLength: boolean;
  /** Families of private keys that C_WrapKey does not take. */
  readonly unwrappable: readonly KeyFamily[];
  /** Return values that mean "slow down". */
  readonly throttled: ReadonlySet<number>;
  /** Whether some of several keys that are generated at once fail. */
  readonly makesKeysInTurn: boolean;
  /** What C_Decrypt and C_UnwrapKey return, besides CKR_ENCRYPTED_DATA_* and CKR_WRAPPED_KEY_*, for a bad ciphertext. */
  readonly decryptionFailed: ReadonlySet<number>;
}

const maximumGcmBytes = 16 * 1024;

const profiles: Readonly<Record<VendorProfile['name'], VendorProfile>> = {
  softhsm: {
    name: 'softhsm',
    gcm: { mechanism: ck.CKM_AES_GCM, nonce: 'caller', maximumBytes: maximumGcmBytes },
    // SoftHSM 2.6.1 answers CKR_ARGUMENTS_BAD to OAEP with SHA-256.
    oaepHashes: ['sha1'],
    // SoftHSM's CKM_AES_KEY_WRAP_PAD is RFC 5649.
    aesKw: { kw: ck.CKM_AES_KEY_WRAP, kwp: ck.CKM_AES_KEY_WRAP_PAD },
    unsupportedAttributes: [],
    hidesUnwrappedLength: true,
    // SoftHSM 2.6.1 has no PKCS #8 form of an Ed25519 key.
    unwrappable: ['edwards'],
    throttled: new Set(),
    // Measured: CKR_GENERAL_ERROR of one in some hundreds, with three under way.
    makesKeysInTurn: true,
    // Measured: a wrong GCM tag, and a wrapped key that does not unwrap, are CKR_GENERAL_ERROR.
    decryptionFailed: new Set([ck.CKR_GENERAL_ERROR]),
  },
  // By AWS's documentation of Client SDK 5; not yet run against a device.
  cloudhsm: {
    name: 'cloudhsm',
    // CKM_CLOUDHSM_AES_GCM: the HSM draws the nonce and prepends it; plain CKM_AES_GCM writes it back into pIv instead.
    gcm: { mechanism: vendorDefined(ck.CKM_AES_GCM), nonce: 'prepended', maximumBytes: maximumGcmBytes },
    oaepHashes: ['sha1', 'sha256'],
    // CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD and …_ZERO_PAD.
    aesKw: { kw: vendorDefined(ck.CKM_AES_KEY_WRAP), kwp: vendorDefined(0x216f) },
    // CKA_MODIFIABLE may only be stated as true there, so a holder of the PIN can change a key's role.
    unsupportedAttributes: [
      'CKA_SIGN_RECOVER',
      'CKA_VERIFY_RECOVER',
      'CKA_ALLOWED_MECHANISMS',
      'CKA_COPYABLE',
      'CKA_MODIFIABLE',
    ],
    hidesUnwrappedLength: false,
    unwrappable: [],
    throttled: new Set([ck.CKR_FUNCTION_FAILED]),
    makesKeysInTurn: false,
    decryptionFailed: new Set(),
  },
  generic: {
    name: 'generic',
    gcm: { mechanism: ck.CKM_AES_GCM, nonce: 'caller', maximumBytes: maximumGcmBytes },
    oaepHashes: ['sha1', 'sha256'],
    aesKw: { kw: ck.CKM_AES_KEY_WRAP, kwp: ck.CKM_AES_KEY_WRAP_KWP },
    unsupportedAttributes: ['CKA_ALLOWED_MECHANISMS', 'CKA_COPYABLE'],
    hidesUnwrappedLength: false,
    unwrappable: [],
    throttled: new Set(),
    makesKeysInTurn: false,
    decryptionFailed: new Set(),
  },
};

/** CKM_VENDOR_DEFINED | number */
function vendorDefined(mechanism: number): number {
  return 0x80000000 + mechanism;
}

/** The configured vendor's profile or, for `auto`, that of whom the token says it is of. */
export function vendorProfile(
  vendor: AgentSettings['vendor'],
  { manufacturer, model }: { readonly manufacturer: string; readonly model: string },
): VendorProfile {
  if (vendor !== 'auto') return profiles[vendor];
  const maker = `${manufacturer} ${model}`.toLowerCase();
  if (maker.includes('softhsm')) return profiles.softhsm;
  if (maker.includes('cloudhsm') || maker.includes('cavium') || maker.includes('marvell')) return profiles.cloudhsm;
  return profiles.generic;
}
