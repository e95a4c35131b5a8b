import type { SignatureScheme, signatureSchemes } from './signature-scheme.js';

type Hash = Extract<(typeof signatureSchemes)[SignatureScheme], { hash: string }>['hash'];

/** DER up to the OCTET STRING's content, RFC 8017 §9.2 note 1. */
const prefixes: Readonly<Record<Hash, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

/** DigestInfo, which CKM_RSA_PKCS pads and signs (RFC 8017 §9.2). @param digest  as long as the hash's output */
export function digestInfo(hash: Hash, digest: Uint8Array): Buffer {
  return Buffer.concat([prefixes[hash], digest]);
}
