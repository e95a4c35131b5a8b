/** The last of every one, so that one pattern has them all. */
const suffix = '-ocsp';

/**
 * Label of the key that signs OCSP responses for the issuer with that key.
 * @param number  from 1: each key that is given up has a successor
 */
export function responderLabel(issuerLabel: string, number = 1): string {
  const first = `${issuerLabel}${suffix}`;
  return number === 1 ? first : `${first}-${number}${suffix}`;
}

/** Whether it is a responder's. No CA's key may be called so: the trail tells less of responders' keys. */
export function isResponderLabel(label: string): boolean {
  return /-ocsp(-\d+)?$/.test(label);
}

/** The label of the issuer's key whose responder's key a label is of; the label itself when it is no responder's. */
export function issuerLabelOf(label: string): string {
  return label.replace(/-ocsp(-\d+-ocsp)?$/, '');
}

/** For `audit.issuerKeys` of the CA's fleet: all that may sign certificates, which a responder's key cannot. */
export const issuerKeyLabels: readonly string[] = ['*', `!*${suffix}`];
