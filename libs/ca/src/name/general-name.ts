import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { contextPrimitive, type DerWriter } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { normalizeDnsName } from './dns-name.js';

/** A name a certificate can be issued to, in its one spelling (RFC 5280 §4.2.1.6). */
export interface GeneralName {
  readonly type: 'dns' | 'ip';
  /** dns: as `normalizeDnsName` returns it; ip: dotted IPv4 or RFC 5952 IPv6. */
  readonly value: string;
}

const dnsTag = contextPrimitive(2);
const ipTag = contextPrimitive(7);
/** What the other choices of GeneralName are called, for a refusal. */
const otherNames = [
  'otherName',
  'rfc822Name',
  'dNSName',
  'x400Address',
  'directoryName',
  'ediPartyName',
  'URI',
  'iPAddress',
  'registeredID',
];

/** @throws {CaError} ERR_CA_NAME_INVALID */
export function dnsName(text: string): GeneralName {
  return { type: 'dns', value: normalizeDnsName(text) };
}

/** @param text  IPv4 in four decimal parts, or IPv6 without a zone. @throws {CaError} ERR_CA_NAME_INVALID */
export function ipAddress(text: string): GeneralName {
  if (isIP(text) === 0 || text.includes('%'))
    throw new CaError('ERR_CA_NAME_INVALID', `IP address: want IPv4 or IPv6, got ${JSON.stringify(text.slice(0, 64))}`);
  return { type: 'ip', value: canonicalAddress(ipaddr.parse(text)) };
}

/**
 * One entry of a requested SubjectAltName.
 * @throws {CaError} ERR_CA_NAME_INVALID | ERR_CA_NAME_NOT_ALLOWED for a kind of name this CA does not issue
 */
export function readGeneralName(node: DerNode): GeneralName {
  if (node.tag === dnsTag) {
    if (!node.content.every((octet) => octet < 0x80))
      throw new CaError('ERR_CA_NAME_INVALID', 'DNS name: want IA5String, got octets above 7F');
    return dnsName(node.content.toString('latin1'));
  }
  if (node.tag === ipTag) {
    const { length } = node.content;
    if (length !== 4 && length !== 16)
      throw new CaError('ERR_CA_NAME_INVALID', `IP address: want 4 or 16 octets, got ${length}`);
    return { type: 'ip', value: canonicalAddress(ipaddr.fromByteArray([...node.content])) };
  }
  const kind = otherNames[node.tag & 0x1f] ?? `[${node.tag & 0x1f}]`;
  throw new CaError('ERR_CA_NAME_NOT_ALLOWED', `subject alternative name: want dNSName or iPAddress, got ${kind}`);
}

export function writeGeneralName(writer: DerWriter, name: GeneralName): void {
  if (name.type === 'dns') writer.primitive(dnsTag, Buffer.from(name.value, 'latin1'));
  else writer.primitive(ipTag, Uint8Array.from(ipaddr.parse(name.value).toByteArray()));
}

function canonicalAddress(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  return 'toRFC5952String' in address ? address.toRFC5952String() : address.toString();
}
