import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { contextConstructed, tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { viewExtensions } from '../issuance/certificate-view.js';
import type { CertIdHash } from '../store/ocsp-store.js';
import { certIdHashOf } from './cert-id.js';

/** Longest request that is read; one for a certificate has 80 octets, a signed one with its chain a few thousand. */
export const maximumOcspRequestBytes = 8_192;
/** Most certificates one request may ask about. RFC 5019 §2.1.1 wants one. */
const maximumRequests = 16;
/** RFC 9654 §2.1. */
const maximumNonceBytes = 128;

export interface RequestedCertId {
  /** Undefined for a hash that is not answered. */
  readonly hash: CertIdHash | undefined;
  readonly nameHash: Buffer;
  readonly keyHash: Buffer;
  /** Hexadecimal without leading zeros of the encoding; undefined for a negative one. */
  readonly serial: string | undefined;
}

export interface OcspRequest {
  /** At least one. */
  readonly certIds: readonly RequestedCertId[];
  readonly nonce?: Buffer;
}

/** The octets are no OCSP request: answered with malformedRequest. */
export class MalformedOcspRequest extends Error {
  override readonly name = 'MalformedOcspRequest';
}

/**
 * Reads an OCSPRequest (RFC 6960 §4.1.1), bounded in length, nesting and number. Who signed it is not asked (RFC 5019 §2.1.2),
 * and what it wants of the response but a nonce is passed over unless it is critical.
 * @throws {MalformedOcspRequest}
 */
export function parseOcspRequest(octets: Buffer): OcspRequest {
  if (octets.length > maximumOcspRequestBytes)
    throw new MalformedOcspRequest(
      `OCSP request: want at most ${maximumOcspRequestBytes} octets, got ${octets.length}`,
    );
  try {
    return read(parseDer(octets));
  } catch (error) {
    if (error instanceof DerError || error instanceof TypeError)
      throw new MalformedOcspRequest(`OCSP request: ${error.message}`, { cause: error });
    throw error;
  }
}

function read(request: DerNode): OcspRequest {
  const [tbsRequest, signature, ...rest] = sequenceOf(request);
  if (rest.length > 0 || (signature !== undefined && signature.tag !== contextConstructed(0)))
    throw new TypeError('want tbsRequest and optionalSignature');
  const fields = [...sequenceOf(tbsRequest)];
  const version = take(fields, contextConstructed(0));
  if (version !== undefined && !isVersion1(version)) throw new TypeError('want version v1');
  take(fields, contextConstructed(1));
  const list = sequenceOf(fields.shift());
  const extensions = take(fields, contextConstructed(2));
  if (fields.length > 0) throw new TypeError('want nothing behind requestExtensions');
  if (list.length === 0 || list.length > maximumRequests)
    throw new TypeError(`want 1 to ${maximumRequests} certificates, got ${list.length}`);
  const nonce = readExtensions(extensions);
  return { certIds: list.map(readCertId), ...(nonce !== undefined && { nonce }) };
}

/** The field that comes next, if it has the tag. */
function take(fields: DerNode[], tag: number): DerNode | undefined {
  return fields[0]?.tag === tag ? fields.shift() : undefined;
}

/** DER leaves the default out, but who writes it means nothing else. */
function isVersion1({ children }: DerNode): boolean {
  const [version] = children;
  return children.length === 1 && version.tag === tags.integer && version.content.equals(Buffer.of(0));
}

function readCertId(request: DerNode): RequestedCertId {
  const [certId, extensions, ...rest] = sequenceOf(request);
  if (rest.length > 0 || (extensions !== undefined && extensions.tag !== contextConstructed(0)))
    throw new TypeError('want reqCert and singleRequestExtensions');
  refuseCritical(viewExtensions(extensions));
  const [algorithm, nameHash, keyHash, serial, ...others] = sequenceOf(certId);
  const [oid] = sequenceOf(algorithm);
  if (oid?.tag !== tags.oid || nameHash?.tag !== tags.octetString || keyHash?.tag !== tags.octetString)
    throw new TypeError('want hashAlgorithm, issuerNameHash and issuerKeyHash');
  if (serial?.tag !== tags.integer || others.length > 0)
    throw new TypeError('want serialNumber, and nothing behind it');
  return {
    hash: certIdHashOf(decodeOid(oid.content)),
    nameHash: nameHash.content,
    keyHash: keyHash.content,
    serial: serial.content[0] >= 0x80 ? undefined : magnitude(serial.content),
  };
}

function magnitude(integer: Buffer): string {
  return (integer.length > 1 && integer[0] === 0 ? integer.subarray(1) : integer).toString('hex');
}

/** @returns the nonce */
function readExtensions(explicit: DerNode | undefined): Buffer | undefined {
  const extensions = viewExtensions(explicit);
  if (new Set(extensions.map(({ oid }) => oid)).size !== extensions.length)
    throw new TypeError('want each extension once');
  const nonce = extensions.find(({ oid }) => oid === oids.ocspNonce);
  refuseCritical(extensions.filter((extension) => extension !== nonce));
  if (nonce === undefined) return undefined;
  const { tag, content } = nonce.value;
  if (tag !== tags.octetString || content.length < 1 || content.length > maximumNonceBytes)
    throw new TypeError(`want a nonce of 1 to ${maximumNonceBytes} octets, got ${content.length}`);
  return content;
}

function refuseCritical(extensions: readonly { readonly oid: string; readonly critical: boolean }[]): void {
  const critical = extensions.find((extension) => extension.critical);
  if (critical !== undefined) throw new TypeError(`want no critical extension but the nonce, got ${critical.oid}`);
}

function sequenceOf(node: DerNode | undefined): readonly DerNode[] {
  if (node?.tag !== tags.sequence) throw new TypeError('want a SEQUENCE');
  return node.children;
}
