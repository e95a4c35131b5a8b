/** What a vendor's token does in its own way. Every other file reads these facts instead of asking for the vendor. */
import type { AgentSettings } from '../../protocol.js';
import { ck } from './native.js';

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
  /** AES-KWP of RFC 5649, which PKCS #11 v2.40 left without a number of its own. */
  readonly aesKwpMechanism: number;
  /** Whether CKA_ALLOWED_MECHANISMS and CKA_COPYABLE are stated in templates and read back. */
  readonly restrictsMechanisms: boolean;
  readonly restrictsCopies: boolean;
  /** Whether CKA_VALUE_LEN of an unwrapped secret key is 0 instead of its length. */
  readonly hidesUnwrappedLength: boolean;
  /** Return values that mean "slow down". */
  readonly throttled: ReadonlySet<number>;
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
    aesKwpMechanism: ck.CKM_AES_KEY_WRAP_PAD,
    restrictsMechanisms: true,
    restrictsCopies: true,
    hidesUnwrappedLength: true,
    throttled: new Set(),
    // Measured: a wrong GCM tag, and a wrapped key that does not unwrap, are CKR_GENERAL_ERROR.
    decryptionFailed: new Set([ck.CKR_GENERAL_ERROR]),
  },
  cloudhsm: {
    name: 'cloudhsm',
    // CKM_CLOUDHSM_AES_GCM: the HSM draws the nonce and prepends it; plain CKM_AES_GCM writes it back into pIv instead.
    gcm: { mechanism: (0x80000000 | ck.CKM_AES_GCM) >>> 0, nonce: 'prepended', maximumBytes: maximumGcmBytes },
    oaepHashes: ['sha1', 'sha256'],
    // CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD
    aesKwpMechanism: 0x8000216f,
    restrictsMechanisms: false,
    restrictsCopies: false,
    hidesUnwrappedLength: false,
    throttled: new Set([ck.CKR_FUNCTION_FAILED]),
    decryptionFailed: new Set(),
  },
  generic: {
    name: 'generic',
    gcm: { mechanism: ck.CKM_AES_GCM, nonce: 'caller', maximumBytes: maximumGcmBytes },
    oaepHashes: ['sha1', 'sha256'],
    aesKwpMechanism: ck.CKM_AES_KEY_WRAP_KWP,
    restrictsMechanisms: false,
    restrictsCopies: false,
    hidesUnwrappedLength: false,
    throttled: new Set(),
    decryptionFailed: new Set(),
  },
};

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
