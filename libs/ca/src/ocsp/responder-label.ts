const suffix = '-ocsp';

/** Label of the key that signs OCSP responses for the issuer with that key. */
export function responderLabel(issuerLabel: string): string {
  return `${issuerLabel}${suffix}`;
}

/** Whether it is a responder's. No CA's key may be called so: the trail tells less of responders' keys. */
export function isResponderLabel(label: string): boolean {
  return label.endsWith(suffix);
}

/** For `audit.issuerKeys` of the CA's fleet: all that may sign certificates, which a responder's key cannot. */
export const issuerKeyLabels: readonly string[] = ['*', `!*${suffix}`];
