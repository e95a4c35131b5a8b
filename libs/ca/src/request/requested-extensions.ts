import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { type GeneralName, readGeneralName } from '../name/general-name.js';

/** Most names one certificate may carry. */
export const maximumNames = 100;

/** Extensions that tools put into requests and the profile decides: read, checked for form, not copied. */
const decidedByProfile = new Set<string>([oids.keyUsage, oids.extendedKeyUsage, oids.subjectKeyIdentifier]);

/**
 * The names of a requested SubjectAltName. A request for CA rights or for an extension that no profile decides is refused
 * rather than ignored, so that nobody believes to have got it.
 * @param extensions  the Extensions of an extensionRequest attribute
 * @throws {CaError} ERR_CA_CSR_MALFORMED | ERR_CA_CSR_CONTENT_REFUSED | ERR_CA_NAME_INVALID | ERR_CA_NAME_NOT_ALLOWED
 */
export function readRequestedExtensions(extensions: DerNode): GeneralName[] {
  const seen = new Set<string>();
  let names: GeneralName[] = [];
  if (extensions.tag !== tags.sequence) malformed('want Extensions in extensionRequest');
  for (const extension of extensions.children) {
    const { oid, value } = readExtension(extension);
    if (seen.has(oid))
      throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `requested extension: want each at most once, got ${oid} twice`);
    seen.add(oid);
    if (oid === oids.subjectAltName) names = readSubjectAltName(value);
    else if (oid === oids.basicConstraints) refuseCaRights(value);
    else if (!decidedByProfile.has(oid)) {
      throw new CaError(
        'ERR_CA_CSR_CONTENT_REFUSED',
        `requested extension: want one that a profile decides, got ${oid}`,
      );
    }
  }
  return names;
}

function readExtension(extension: DerNode): { oid: string; value: DerNode } {
  const parts = extension.tag === tags.sequence ? [...extension.children] : [];
  const type = parts.shift();
  if (parts[0]?.tag === tags.boolean) parts.shift();
  const value = parts.shift();
  if (type?.tag !== tags.oid || value?.tag !== tags.octetString || parts.length > 0)
    malformed('want extnID, critical and extnValue in an extension');
  try {
    return { oid: decodeOid(type.content), value: parseDer(value.content) };
  } catch (error) {
    if (error instanceof DerError) malformed(`requested extension ${decodeOid(type.content)}: ${error.message}`);
    throw error;
  }
}

function readSubjectAltName(value: DerNode): GeneralName[] {
  const count = value.children.length;
  if (value.tag !== tags.sequence || count === 0) malformed('want at least one name in SubjectAltName');
  if (count > maximumNames)
    throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `SubjectAltName: want at most ${maximumNames} names, got ${count}`);
  const names = value.children.map(readGeneralName);
  return names.filter(
    (name, index) => names.findIndex((other) => other.type === name.type && other.value === name.value) === index,
  );
}

function refuseCaRights(value: DerNode): void {
  if (value.tag !== tags.sequence) malformed('want a SEQUENCE in BasicConstraints');
  const [cA, ...pathLength] = value.children;
  // FALSE is the DEFAULT, which some tools write out all the same.
  const isEndEntity = cA === undefined || (cA.tag === tags.boolean && cA.content[0] === 0 && pathLength.length === 0);
  if (!isEndEntity) {
    throw new CaError(
      'ERR_CA_CSR_CONTENT_REFUSED',
      'requested extension: want an end-entity certificate, got BasicConstraints with cA or pathLen',
    );
  }
}

function malformed(message: string): never {
  throw new CaError('ERR_CA_CSR_MALFORMED', `CSR: ${message}`);
}
