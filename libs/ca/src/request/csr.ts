import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { contextConstructed, tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { decodeCsrPem } from '../der/pem.js';
import { CaError } from '../errors.js';
import {
  type AttributeName,
  nameAttributes,
  type NameAttribute,
  readDirectoryString,
  readDistinguishedName,
} from '../name/distinguished-name.js';
import type { GeneralName } from '../name/general-name.js';
import { readRequestedExtensions } from './requested-extensions.js';

/** Largest certification request accepted, in octets, as PEM or DER. */
export const maximumCsrBytes = 64 * 1024;

/**
 * Attributes that ask for nothing: a challenge password and an unstructured name are for enrolment protocols (RFC 2985 §5.4), the
 * others say on which Windows, by which client and with which provider the key was made ([MS-WCCE] §2.2.2.7).
 */
const passedOver = new Set<string>([
  oids.challengePassword,
  '1.2.840.113549.1.9.2',
  '1.3.6.1.4.1.311.13.2.2',
  '1.3.6.1.4.1.311.13.2.3',
  '1.3.6.1.4.1.311.21.20',
]);

/** What a certification request says (RFC 2986 §4.1), decoded and bounded, nothing in it proven or allowed yet. */
export interface CertificationRequest {
  /** DER of CertificationRequestInfo: the signed octets. */
  readonly info: Buffer;
  readonly subjectPublicKeyInfo: DerNode;
  /** Attributes of the subject, in order; see `requestedAttribute`. */
  readonly subject: readonly NameAttribute[];
  /** Names of a requested SubjectAltName, normalised, without duplicates. */
  readonly names: readonly GeneralName[];
  /** BasicConstraints that ask for CA rights, which only a profile of CAs gives. */
  readonly asksForCa: boolean;
  /** A TLS feature extension that asks for stapling (RFC 7633). */
  readonly asksForStapling: boolean;
  /** AlgorithmIdentifier. */
  readonly signatureAlgorithm: DerNode;
  readonly signature: Buffer;
}

/**
 * Decodes a PKCS #10 request.
 * @param input  DER octets, or PEM as octets or text
 * @throws {CaError} ERR_CA_CSR_TOO_LARGE | ERR_CA_CSR_MALFORMED | ERR_CA_CSR_CONTENT_REFUSED | ERR_CA_NAME_INVALID |
 * ERR_CA_NAME_NOT_ALLOWED
 */
export function parseCsr(input: Uint8Array | string): CertificationRequest {
  const der = csrDer(input);
  try {
    return readRequest(parseDer(der));
  } catch (error) {
    if (error instanceof DerError) throw new CaError('ERR_CA_CSR_MALFORMED', `CSR: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The DER of a request, not looked into.
 * @param input  DER octets, or PEM as octets or text
 * @throws {CaError} ERR_CA_CSR_TOO_LARGE | ERR_CA_CSR_MALFORMED
 */
export function csrDer(input: Uint8Array | string): Buffer {
  if (input.length > maximumCsrBytes)
    throw new CaError('ERR_CA_CSR_TOO_LARGE', `CSR: want at most ${maximumCsrBytes} octets, got ${input.length}`);
  return typeof input === 'string' || input[0] !== tags.sequence ? decodeCsrPem(toText(input)) : Buffer.from(input);
}

function readRequest(request: DerNode): CertificationRequest {
  const [info, signatureAlgorithm, signature, ...extra] = expect(
    request,
    tags.sequence,
    'CertificationRequest',
  ).children;
  if (extra.length > 0) malformed('want three values in CertificationRequest, got more');
  expect(signature, tags.bitString, 'signature');
  if (signature.content[0] !== 0) malformed('want a signature of whole octets');

  const [version, subject, subjectPublicKeyInfo, attributes, ...more] = expect(
    info,
    tags.sequence,
    'CertificationRequestInfo',
  ).children;
  if (more.length > 0) malformed('want four values in CertificationRequestInfo, got more');
  if (!expect(version, tags.integer, 'version').content.equals(Buffer.of(0))) malformed('want version v1 (0)');
  expect(subjectPublicKeyInfo, tags.sequence, 'subjectPKInfo');
  // RFC 2986 wants [0] even when it is empty; some tools leave it out, which OpenSSL accepts and changes nothing.
  const extensionRequest = attributes && readAttributes(expect(attributes, contextConstructed(0), 'attributes'));

  return {
    info: info.raw,
    subjectPublicKeyInfo,
    subject: readDistinguishedName(subject) ?? malformed('want a Name as subject'),
    ...readRequestedExtensions(extensionRequest),
    signatureAlgorithm: expect(signatureAlgorithm, tags.sequence, 'signatureAlgorithm'),
    signature: signature.content.subarray(1),
  };
}

/**
 * What the subject says of an attribute.
 * @throws {CaError} ERR_CA_CSR_CONTENT_REFUSED when it is there twice | ERR_CA_CSR_MALFORMED
 */
export function requestedAttribute({ subject }: CertificationRequest, name: AttributeName): string | undefined {
  const [value, ...more] = subject.filter(({ type }) => type === nameAttributes[name].oid).map((each) => each.value);
  if (more.length > 0)
    throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `CSR subject: want at most one ${name}, got more`);
  if (value === undefined) return undefined;
  return readDirectoryString(value) ?? malformed(`want ${name} as UTF8String, PrintableString or IA5String`);
}

/** @returns the Extensions of the one extensionRequest (RFC 2985 §5.4.2), if there is one */
function readAttributes(attributes: DerNode): DerNode | undefined {
  const found = new Map<string, DerNode>();
  for (const attribute of attributes.children) {
    const [type, values, ...extra] = expect(attribute, tags.sequence, 'attribute').children;
    if (extra.length > 0) malformed('want a type and values in an attribute, got more');
    const oid = decodeOid(expect(type, tags.oid, 'attribute type').content);
    if (expect(values, tags.set, 'attribute values').children.length !== 1) malformed('want one value in an attribute');
    if (oid !== oids.extensionRequest && !passedOver.has(oid)) {
      throw new CaError(
        'ERR_CA_CSR_CONTENT_REFUSED',
        `CSR attribute: want extensionRequest or challengePassword, got ${oid}`,
      );
    }
    if (found.has(oid))
      throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `CSR attribute: want each at most once, got ${oid} twice`);
    found.set(oid, values.children[0]);
  }
  return found.get(oids.extensionRequest);
}

function toText(input: Uint8Array | string): string {
  return typeof input === 'string' ? input : Buffer.from(input).toString('latin1');
}

function expect(node: DerNode | undefined, tag: number, what: string): DerNode {
  if (node?.tag === tag) return node;
  return malformed(
    `want ${what} with tag ${hexadecimal(tag)}, got ${node === undefined ? 'nothing' : hexadecimal(node.tag)}`,
  );
}

function malformed(message: string): never {
  throw new CaError('ERR_CA_CSR_MALFORMED', `CSR: ${message}`);
}

const hexadecimal = (tag: number): string => tag.toString(16).padStart(2, '0').toUpperCase();
