import { type DerNode, parseDer } from '../der/der-reader.js';
import { oids } from '../der/oid.js';
import { viewTbsCertificate } from '../issuance/certificate-view.js';
import { readDirectoryString, readDistinguishedName } from '../name/distinguished-name.js';
import { type GeneralName, readGeneralName } from '../name/general-name.js';

/** What a certificate is found by: `cn:` its commonName in lower case, `dns:`, `ip:`, `email:`, `uri:` its names. */
export function searchNames(subject: DerNode, names: readonly GeneralName[]): string[] {
  const commonName = commonNameOf(subject);
  const all = [...(commonName === undefined ? [] : [searchCommonName(commonName)]), ...names.map(searchName)];
  return [...new Set(all)];
}

export const searchCommonName = (commonName: string): string => `cn:${commonName.toLowerCase()}`;
export const searchName = ({ type, value }: GeneralName): string => `${type}:${value}`;

/** Of an issued certificate; none when it cannot be read. @param der  Certificate */
export const searchNamesOf = (der: Buffer): string[] => readableNames(() => parseDer(der).children[0]);

/** Of one that is still to be signed; none when it cannot be read. @param der  TBSCertificate */
export const searchNamesOfTbs = (der: Buffer): string[] => readableNames(() => parseDer(der));

function readableNames(tbs: () => DerNode): string[] {
  try {
    const { subject, extensions } = viewTbsCertificate(tbs());
    const subjectAltName = extensions.find(({ oid }) => oid === oids.subjectAltName);
    return searchNames(subject, (subjectAltName?.value.children ?? []).map(readGeneralName));
  } catch {
    return [];
  }
}

/** The names of any certificate's SubjectAltName, as `dns:`, `ip:`, `email:`, `uri:`; none when it cannot be read. @param der  Certificate */
export function certificateNames(der: Buffer): string[] {
  return searchNamesOf(der).filter((name) => !name.startsWith('cn:'));
}

function commonNameOf(subject: DerNode): string | undefined {
  const attribute = readDistinguishedName(subject)?.find(({ type }) => type === oids.commonName);
  return attribute && readDirectoryString(attribute.value);
}
