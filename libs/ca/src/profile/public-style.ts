/** What the Baseline Requirements of the CA/Browser Forum say with numbers that change. */

const validityLimits: readonly (readonly [from: string, days: number])[] = [
  ['2029-03-15T00:00:00Z', 47],
  ['2027-03-15T00:00:00Z', 100],
  ['2026-03-15T00:00:00Z', 200],
];

/** The longest a TLS server certificate of that day may be valid (CABF BR §6.3.2). */
export function maximumPublicValidityDays(notBefore: Date): number {
  const limit = validityLimits.find(([from]) => notBefore >= new Date(from));
  return limit?.[1] ?? 398;
}

/** Policies that say how a subject was validated (CABF BR §7.1.6.1). */
export const reservedPolicies: Readonly<Record<string, string>> = {
  domainValidated: '2.23.140.1.2.1',
  organizationValidated: '2.23.140.1.2.2',
  individualValidated: '2.23.140.1.2.3',
  extendedValidation: '2.23.140.1.1',
};
