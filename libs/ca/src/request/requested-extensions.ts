import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { type GeneralName, readGeneralName, withoutDuplicates } from '../name/general-name.js';

/** Most names one certificate may carry. */
export const maximumNames = 100;

/** Extensions that tools put into requests. The last three are checked for form and not copied: the profile decides. */
const known = new Set<string>([
  oids.subjectAltName,
  oids.basicConstraints,
  oids.tlsFeature,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectKeyIdentifier,
]);

export interface RequestedExtensions {
  readonly names: readonly GeneralName[];
  readonly asksForCa: boolean;
  readonly asksForStapling: boolean;
}

/**
 * What a request's extensions ask for. An extension that no profile decides is refused rather than ignored, so that nobody
 * believes to have got it.
 * @param extensions  the Extensions of an extensionRequest attribute
 * @throws {CaError} ERR_CA_CSR_MALFORMED | ERR_CA_CSR_CONTENT_REFUSED | ERR_CA_NAME_INVALID | ERR_CA_NAME_NOT_ALLOWED
 */
export function readRequestedExtensions(extensions: DerNode | undefined): RequestedExtensions {
  const found = new Map<string, DerNode>();
  if (extensions !== undefined && extensions.tag !== tags.sequence) malformed('want Extensions in extensionRequest');
  for (const extension of extensions?.children ?? []) {
    const { oid, value } = readExtension(extension);
    if (found.has(oid))
      throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `requested extension: want each at most once, got ${oid} twice`);
    found.set(oid, value);
    if (!known.has(oid)) {
      throw new CaError(
        'ERR_CA_CSR_CONTENT_REFUSED',
        `requested extension: want one that a profile decides, got ${oid}`,
      );
    }
  }
  const subjectAltName = found.get(oids.subjectAltName);
  const basicConstraints = found.get(oids.basicConstraints);
  const tlsFeature = found.get(oids.tlsFeature);
  return {
    names: subjectAltName === undefined ? [] : readSubjectAltName(subjectAltName),
    asksForCa: basicConstraints !== undefined && asksForCa(basicConstraints),
    asksForStapling: tlsFeature !== undefined && asksForStapling(tlsFeature),
  };
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
  return withoutDuplicates(value.children.map(readGeneralName));
}

function asksForCa(value: DerNode): boolean {
  if (value.tag !== tags.sequence || value.children.length > 2) malformed('want cA and pathLen in BasicConstraints');
  const [cA, ...pathLength] = value.children;
  // FALSE is the DEFAULT, which some tools write out all the same.
  return !(cA === undefined || (cA.tag === tags.boolean && cA.content[0] === 0 && pathLength.length === 0));
}

/** @throws {CaError} ERR_CA_CSR_CONTENT_REFUSED for any other feature than status_request (5) */
function asksForStapling(value: DerNode): boolean {
  const [feature, ...more] = value.children;
  if (value.tag !== tags.sequence || feature?.tag !== tags.integer)
    malformed('want features in the TLS feature extension');
  if (more.length > 0 || !feature.content.equals(Buffer.of(5)))
    throw new CaError(
      'ERR_CA_CSR_CONTENT_REFUSED',
      'requested extension: want status_request (5) alone as TLS feature',
    );
  return true;
}

function malformed(message: string): never {
  throw new CaError('ERR_CA_CSR_MALFORMED', `CSR: ${message}`);
}
