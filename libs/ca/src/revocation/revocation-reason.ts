/** CRLReason (RFC 5280 §5.3.1) with its ENUMERATED value; 7 is not used. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;
export type RevocationReason = keyof typeof revocationReasons;

/** Reasons a revocation may be asked for with: removeFromCRL is what a delta CRL says of a released hold. */
export const requestableReasons: readonly RevocationReason[] = (
  Object.keys(revocationReasons) as RevocationReason[]
).filter((reason) => reason !== 'removeFromCRL');

/** Reasons that the CA/Browser Forum knows for certificates of end entities (CABF BR §7.2.2). */
export const forumReasons: readonly RevocationReason[] = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
];

const names = new Map(Object.entries(revocationReasons).map(([name, code]) => [code, name as RevocationReason]));

/** Undefined for a value RFC 5280 does not know. */
export function findReason(code: number): RevocationReason | undefined {
  return names.get(code as (typeof revocationReasons)[RevocationReason]);
}

/** @throws {TypeError} for a value RFC 5280 does not know */
export function reasonOfCode(code: number): RevocationReason {
  const name = findReason(code);
  if (name === undefined) throw new TypeError(`CRLReason: want one of RFC 5280, got ${code}`);
  return name;
}
