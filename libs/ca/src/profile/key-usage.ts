/** Bit positions of KeyUsage (RFC 5280 §4.2.1.3). */
export const keyUsageBits = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const;
export type KeyUsageBit = keyof typeof keyUsageBits;

/** Kinds of key a certificate can be issued to. */
export const subjectKeyKinds = ['rsa', 'ec-p256', 'ec-p384', 'ec-p521', 'ed25519'] as const;
export type SubjectKeyKind = (typeof subjectKeyKinds)[number];

/** Bits that only some keys can have: RSA alone encrypts (RFC 3279 §2.3.1), EC alone agrees (RFC 5480 §3, RFC 8813 §3, RFC 8410 §5). */
const familyOf: Readonly<Partial<Record<KeyUsageBit, 'rsa' | 'ec'>>> = {
  keyEncipherment: 'rsa',
  dataEncipherment: 'rsa',
  keyAgreement: 'ec',
};

/** The bits of a profile that a kind of key can have. */
export function keyUsageFor(bits: readonly KeyUsageBit[], kind: SubjectKeyKind): KeyUsageBit[] {
  return bits.filter((bit) => kind.startsWith(familyOf[bit] ?? ''));
}
