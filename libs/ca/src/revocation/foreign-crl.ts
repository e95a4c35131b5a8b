import type { X509Certificate } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { derElements, DerError, parseDer } from '../der/der-reader.js';
import { contextConstructed, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { readTime, viewExtensions, viewTbsCertificate } from '../issuance/certificate-view.js';
import { signatureFault, verificationKeyOf } from '../issuance/signature-fault.js';

/** Octets of a CRL that is read: room for some 400,000 entries. */
export const maximumCrlBytes = 16 * 1024 * 1024;
const entriesPerTurn = 10_000;
/** keyUsage: cRLSign is bit 6 (RFC 5280 §4.2.1.3). */
const crlSignBit = 0x02;

/** The complete CRL of another CA. */
export interface ForeignCrl {
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** @param serialNumber  hexadecimal, as `X509Certificate.serialNumber` writes it */
  has(serialNumber: string): boolean;
}

/**
 * Reads a CRL (RFC 5280 §5) that is the whole of what its issuer revokes: of this issuer by name, key and key usage, with a signature
 * of SHA-256 or better, an end, and nothing critical that would narrow it (deltas, shards, indirect ones).
 * @param octets  DER, or PEM; at most 16 MiB
 * @throws {CaError} ERR_CA_CRL_INVALID
 */
export async function readForeignCrl(octets: Buffer, issuer: X509Certificate): Promise<ForeignCrl> {
  if (octets.length > maximumCrlBytes) refuse(`at most ${maximumCrlBytes} octets, got ${octets.length}`);
  try {
    return await read(octets[0] === tags.sequence ? octets : ofPem(octets), issuer);
  } catch (error) {
    if (error instanceof DerError || error instanceof TypeError) refuse(`a CertificateList, got ${error.message}`);
    throw error;
  }
}

async function read(der: Buffer, issuer: X509Certificate): Promise<ForeignCrl> {
  const [list, ...behind] = derElements(der);
  if (list?.tag !== tags.sequence || behind.length > 0) refuse('one CertificateList');
  const [tbs, outerAlgorithm, signature, ...more] = derElements(list.content);
  if (tbs?.tag !== tags.sequence || signature?.tag !== tags.bitString || signature.content[0] !== 0 || more.length > 0)
    refuse('a TBSCertList, its algorithm and a signature');
  const fields = [...derElements(tbs.content)];
  if (fields[0]?.tag === tags.integer && fields[0].content.equals(Buffer.of(1))) fields.shift();
  const [algorithm, name, thisField, nextField, ...rest] = fields;
  const { subject, extensions: ofIssuer } = viewTbsCertificate(parseDer(issuer.raw).children[0]);
  if (name?.raw.equals(subject.raw) !== true) refuse('the name of the configured issuer, got another');
  const usage = ofIssuer.find(({ oid }) => oid === oids.keyUsage)?.value.content;
  if (usage !== undefined && (usage[1] & crlSignBit) === 0) refuse('an issuer that may sign CRLs (keyUsage cRLSign)');
  if (!algorithm.raw.equals(outerAlgorithm.raw)) refuse('one algorithm inside and outside, got two');
  const identifier = parseDer(outerAlgorithm.raw);
  const signed = { octets: tbs.raw, algorithm: identifier, signature: signature.content.subarray(1) };
  const fault = await signatureFault(signed, verificationKeyOf(issuer.publicKey));
  if (fault !== undefined) throw new CaError('ERR_CA_CRL_INVALID', `CRL signature: ${fault}`);

  const [thisUpdate, nextUpdate] = [thisField, nextField].map((field) => field && readTime(field));
  if (thisUpdate === undefined || nextUpdate === undefined) refuse('thisUpdate and nextUpdate');
  const revoked = rest[0]?.tag === tags.sequence ? rest.shift() : undefined;
  const [explicit, ...unknown] = rest;
  if (unknown.length > 0 || (explicit !== undefined && explicit.tag !== contextConstructed(0)))
    refuse('nothing behind the extensions');
  const critical = viewExtensions(explicit && parseDer(explicit.raw)).find((extension) => extension.critical);
  if (critical !== undefined) refuse(`a complete CRL, got one with the critical extension ${critical.oid}`);
  const serials = await serialsOf(revoked?.content ?? Buffer.alloc(0));
  return { thisUpdate, nextUpdate, has: (serialNumber) => serials.has(significant(serialNumber)) };
}

/** The event loop has its turn in between. */
async function serialsOf(entries: Buffer): Promise<Set<string>> {
  const serials = new Set<string>();
  for (const { tag, content } of derElements(entries)) {
    const [serial, , extensions] = derElements(content);
    if (tag !== tags.sequence || serial?.tag !== tags.integer) refuse('entries with a serial');
    const critical = extensions && [...derElements(extensions.content)].some((each) => [...derElements(each.content)].length === 3); // prettier-ignore
    if (critical) refuse('entries without critical extensions: an indirect CRL is of several issuers');
    serials.add(significant(serial.content.toString('hex')));
    if (serials.size % entriesPerTurn === 0) await setImmediate();
  }
  return serials;
}

const significant = (serial: string): string => serial.toLowerCase().replace(/^0+(?=.)/, '');

function ofPem(octets: Buffer): Buffer {
  const base64 = /^\s*-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----\s*$/.exec(octets.toString('latin1'))?.[1]; // prettier-ignore
  return base64 === undefined ? refuse('DER, or one PEM block X509 CRL') : Buffer.from(base64, 'base64');
}

function refuse(wish: string): never {
  throw new CaError('ERR_CA_CRL_INVALID', `CRL: want ${wish}`);
}
