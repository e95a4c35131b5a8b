import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { contextPrimitive, type DerWriter } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { normalizeDnsName } from './dns-name.js';
import { normalizeEmailAddress } from './email-address.js';
import { normalizeUri } from './uri.js';

/** The kinds of name a certificate can be issued to. */
export const nameKinds = ['dns', 'ip', 'email', 'uri'] as const;
export type NameKind = (typeof nameKinds)[number];

/** A name a certificate can be issued to, in its one spelling (RFC 5280 §4.2.1.6). */
export interface GeneralName {
  readonly type: NameKind;
  /** dns, email, uri: as their `normalize…` returns it; ip: dotted IPv4 or RFC 5952 IPv6. */
  readonly value: string;
}

const emailTag = contextPrimitive(1);
const dnsTag = contextPrimitive(2);
const uriTag = contextPrimitive(6);
const ipTag = contextPrimitive(7);

/** The choices of GeneralName by their numbers. */
const choices = [
  'otherName',
  'rfc822Name',
  'dNSName',
  'x400Address',
  'directoryName',
  'ediPartyName',
  'uniformResourceIdentifier',
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

/** @throws {CaError} ERR_CA_NAME_INVALID */
export function emailAddress(text: string): GeneralName {
  return { type: 'email', value: normalizeEmailAddress(text) };
}

/** @throws {CaError} ERR_CA_NAME_INVALID */
export function uri(text: string): GeneralName {
  return { type: 'uri', value: normalizeUri(text) };
}

const parsers: Readonly<Record<NameKind, (text: string) => GeneralName>> = {
  dns: dnsName,
  ip: ipAddress,
  email: emailAddress,
  uri,
};

/** A name of a kind from its text. @throws {CaError} ERR_CA_NAME_INVALID */
export function generalName(type: NameKind, text: string): GeneralName {
  return parsers[type](text);
}

export function isSameName(left: GeneralName, right: GeneralName): boolean {
  return left.type === right.type && left.value === right.value;
}

/** Each name once, in the order they come. */
export function withoutDuplicates(names: readonly GeneralName[]): GeneralName[] {
  return names.filter((name, index) => names.findIndex((other) => isSameName(name, other)) === index);
}

/**
 * One entry of a SubjectAltName.
 * @throws {CaError} ERR_CA_NAME_INVALID | ERR_CA_NAME_NOT_ALLOWED for a kind of name this CA does not issue
 */
export function readGeneralName(node: DerNode): GeneralName {
  switch (node.tag) {
    case dnsTag:
      return dnsName(ia5Text(node, 'DNS name'));
    case emailTag:
      return emailAddress(ia5Text(node, 'e-mail address'));
    case uriTag:
      return uri(ia5Text(node, 'URI'));
    case ipTag: {
      const { length } = node.content;
      if (length !== 4 && length !== 16)
        throw new CaError('ERR_CA_NAME_INVALID', `IP address: want 4 or 16 octets, got ${length}`);
      return { type: 'ip', value: canonicalAddress(ipaddr.fromByteArray([...node.content])) };
    }
    default: {
      const kind = choices[node.tag & 0x1f] ?? `[${node.tag & 0x1f}]`;
      throw new CaError(
        'ERR_CA_NAME_NOT_ALLOWED',
        `subject alternative name: want dNSName, iPAddress, rfc822Name or uniformResourceIdentifier, got ${kind}`,
      );
    }
  }
}

export function writeGeneralName(writer: DerWriter, { type, value }: GeneralName): void {
  if (type === 'ip') writer.primitive(ipTag, Uint8Array.from(ipaddr.parse(value).toByteArray()));
  else writer.primitive(textTags[type], Buffer.from(value, 'latin1'));
}

const textTags = { dns: dnsTag, email: emailTag, uri: uriTag } as const;

/** As it is written, nothing normalised: for a check of octets. @returns undefined for another choice than the three in text */
export function readWrittenName(node: DerNode): GeneralName | undefined {
  const type = (['dns', 'email', 'uri'] as const).find((kind) => textTags[kind] === node.tag);
  return type && { type, value: node.content.toString('latin1') };
}

function ia5Text(node: DerNode, what: string): string {
  if (!node.content.every((octet) => octet < 0x80))
    throw new CaError('ERR_CA_NAME_INVALID', `${what}: want IA5String, got octets above 7F`);
  return node.content.toString('latin1');
}

function canonicalAddress(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  return 'toRFC5952String' in address ? address.toRFC5952String() : address.toString();
}
