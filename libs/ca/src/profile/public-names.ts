import { CaError } from '../errors.js';
import type { SubjectAttributes } from '../name/distinguished-name.js';
import type { GeneralName } from '../name/general-name.js';
import { readsAsHtml } from '../name/html-reference.js';
import { isPublicDomain, isReservedAddress } from '../name/reserved-names.js';

/**
 * Refuses what no certificate for the public may say of its subject, whoever vouches for it (CABF BR §7.1.2.7.12, §7.1.4.2; CABF EVG
 * §9.2.1). The lint has the same rules, and takes what breaks them for a fault of ours; this is the caller's.
 * @throws {CaError} ERR_CA_NAME_NOT_ALLOWED listing every name and attribute
 */
export function assertPublicNames(profile: string, subject: SubjectAttributes, names: readonly GeneralName[]): void {
  const refused = [
    ...names.filter((name) => !isPublic(name)).map(({ type, value }) => `${type} ${value}`),
    ...Object.entries(subject)
      .filter(([attribute, text]) => readsAsHtml(text) || (attribute === 'organization' && isCutOff(text)))
      .map(([attribute, text]) => `${attribute} ${JSON.stringify(text)}`),
  ];
  if (refused.length > 0)
    throw new CaError(
      'ERR_CA_NAME_NOT_ALLOWED',
      `names: want those of the public Internet, and whole texts without HTML, for profile ${profile}, got ${refused.join(', ')}`,
    );
}

function isPublic({ type, value }: GeneralName): boolean {
  return type === 'ip' ? !isReservedAddress(value) : isPublicDomain(value.slice(value.lastIndexOf('@') + 1));
}

/** A name that opens a parenthesis and does not close it. */
export function isCutOff(organization: string): boolean {
  const opened = organization.indexOf('(');
  return opened >= 0 && !organization.includes(')', opened);
}
