import { X509Certificate } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import type { SessionDescription } from '../addon.js';
import { TlsOffloadError } from '../errors.js';
import { plainAddress } from '../peer-address.js';

/*
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt): a header in front of a TCP
 * stream with the addresses of the connection that the sender took.
 */

/** The two ends of a client's connection. */
export interface ProxiedEndpoints {
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly destinationAddress: string;
  readonly destinationPort: number;
}

export interface ProxyHeader {
  /** Length of the header; what follows is the client's. */
  readonly bytes: number;
  /** Undefined: the sender speaks for itself (a health check), or the client's connection was no TCP over IP. */
  readonly endpoints: ProxiedEndpoints | undefined;
}

/** §2.1: the longest line there can be, with CRLF. */
const v1Bytes = 107;
const v1Signature = Buffer.from('PROXY ');
const v2Signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const v2FixedBytes = 16;
/** Of addresses and TLVs. Senders with a client's certificate in theirs need some thousands. */
const v2VariableBytes = 4_096;

/**
 * Reads the header at the beginning of what a sender has sent so far, of which no more than 4,112 bytes are ever needed.
 * @returns undefined while there is too little
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID as soon as it cannot become a header
 */
export function parseProxyHeader(data: Buffer): ProxyHeader | undefined {
  if (startsLike(data, v1Signature)) return parseV1(data);
  if (startsLike(data, v2Signature)) return parseV2(data);
  throw invalid('want its signature, got other bytes');
}

function startsLike(data: Buffer, signature: Buffer): boolean {
  const bytes = Math.min(data.length, signature.length);
  return data.subarray(0, bytes).equals(signature.subarray(0, bytes));
}

function parseV1(data: Buffer): ProxyHeader | undefined {
  const end = data.subarray(0, v1Bytes).indexOf('\r\n');
  if (end < 0) {
    if (data.length >= v1Bytes) throw invalid(`want CRLF within ${v1Bytes} bytes, got none`);
    return undefined;
  }
  const line = data.toString('latin1', 0, end);
  const bytes = end + 2;
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { bytes, endpoints: undefined };
  const [, family, sourceAddress, destinationAddress, ...ports] =
    /^PROXY (TCP[46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line) ?? [];
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  const [sourcePort, destinationPort] = ports.map(Number);
  const isSound =
    family !== undefined &&
    isAddress(sourceAddress) &&
    isAddress(destinationAddress) &&
    sourcePort <= 65_535 &&
    destinationPort <= 65_535;
  if (!isSound) throw invalid('want a line of version 1, got another');
  return { bytes, endpoints: { sourceAddress, sourcePort, destinationAddress, destinationPort } };
}

function parseV2(data: Buffer): ProxyHeader | undefined {
  if (data.length < v2FixedBytes) return undefined;
  const [versionAndCommand, familyAndProtocol] = data.subarray(v2Signature.length);
  const variableBytes = data.readUInt16BE(14);
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21) {
    throw invalid(`want version 2 with LOCAL or PROXY, got 0x${versionAndCommand.toString(16)}`);
  }
  if (variableBytes > v2VariableBytes) {
    throw invalid(`want at most ${v2VariableBytes} bytes of addresses and TLVs, got ${variableBytes}`);
  }
  const bytes = v2FixedBytes + variableBytes;
  if (data.length < bytes) return undefined;
  // §2.2: what LOCAL says of addresses is to be ignored.
  if (versionAndCommand === 0x20) return { bytes, endpoints: undefined };
  const addressBytes = addressBytesOf(familyAndProtocol);
  const variable = data.subarray(v2FixedBytes, bytes);
  checkTlvs(variable, 2 * addressBytes + portBytesOf(familyAndProtocol));
  if (familyAndProtocol !== tcp4 && familyAndProtocol !== tcp6) return { bytes, endpoints: undefined };
  return {
    bytes,
    endpoints: {
      sourceAddress: addressText(variable.subarray(0, addressBytes)),
      destinationAddress: addressText(variable.subarray(addressBytes, 2 * addressBytes)),
      sourcePort: variable.readUInt16BE(2 * addressBytes),
      destinationPort: variable.readUInt16BE(2 * addressBytes + 2),
    },
  };
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
const ipv4Mapped = Buffer.from('00000000000000000000ffff', 'hex');
const unspecified = 0x00;
const tcp4 = 0x11;
const tcp6 = 0x21;
const unixStream = 0x31;

function addressBytesOf(familyAndProtocol: number): number {
  switch (familyAndProtocol) {
    case unspecified:
      return 0;
    case tcp4:
      return 4;
    case tcp6:
      return 16;
    case unixStream:
      return 108;
    default:
      throw invalid(`want a stream's family and protocol, got 0x${familyAndProtocol.toString(16)}`);
  }
}

function portBytesOf(familyAndProtocol: number): number {
  return familyAndProtocol === tcp4 || familyAndProtocol === tcp6 ? 4 : 0;
}

/** §2.2.1: type (1 byte), length (2), value. We use none, but where their lengths are wrong, so may be where the header ends. */
function checkTlvs(variable: Buffer, from: number): void {
  let offset = from;
  while (offset + 3 <= variable.length) offset += 3 + variable.readUInt16BE(offset + 1);
  if (offset !== variable.length) throw invalid('want addresses and whole TLVs, got others');
}

function addressText(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  if (address.subarray(0, 12).equals(ipv4Mapped)) return address.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16));
  // URL writes it as RFC 5952 does.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function invalid(message: string): TlsOffloadError {
  return new TlsOffloadError('ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID', `PROXY header: ${message}`);
}

/**
 * Makes the header for a client that was taken by TLS. Version 2 tells what was negotiated too: ALPN, the server name, the
 * protocol version and cipher, and whether the client had a certificate, with its common name.
 * @param endpoints  with addresses that are not of one family, the header says that it does not know
 */
export function makeProxyHeader(
  version: 'v1' | 'v2',
  endpoints: ProxiedEndpoints,
  description: SessionDescription,
): Buffer {
  // A zone (RFC 4007 §11) means nothing to another host.
  const [source, destination] = [endpoints.sourceAddress, endpoints.destinationAddress].map(
    (address) => plainAddress(address).split('%')[0],
  );
  const family = [isIPv4, isIPv6].findIndex((isFamily) => isFamily(source) && isFamily(destination));
  const { sourcePort, destinationPort } = endpoints;
  if (version === 'v1') {
    const addresses = `TCP${family === 0 ? 4 : 6} ${source} ${destination} ${sourcePort} ${destinationPort}`;
    return Buffer.from(`PROXY ${family < 0 ? 'UNKNOWN' : addresses}\r\n`, 'latin1');
  }
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(destinationPort, 2);
  const addresses = family < 0 ? [] : [addressBytes(source), addressBytes(destination), ports];
  const variable = Buffer.concat([...addresses, ...tlvsOf(description)]);
  const fixed = Buffer.from([...v2Signature, 0x21, [tcp4, tcp6][family] ?? unspecified, 0, 0]);
  fixed.writeUInt16BE(variable.length, 14);
  return Buffer.concat([fixed, variable]);
}

/** §2.2.1 to §2.2.6: PP2_TYPE_ALPN, PP2_TYPE_AUTHORITY and PP2_TYPE_SSL with its own TLVs. */
function tlvsOf(description: SessionDescription): Buffer[] {
  const [leaf] = description.peerCertificates;
  // PP2_CLIENT_SSL, and for a certificate PP2_CLIENT_CERT_CONN and PP2_CLIENT_CERT_SESS; then whether it was not verified.
  const client = leaf === undefined ? [0x01, 0, 0, 0, 1] : [0x07, 0, 0, 0, 0];
  const ofTls = [tlv(0x21, description.protocol), tlv(0x23, description.cipher)];
  if (leaf !== undefined) ofTls.push(tlv(0x22, commonNameOf(leaf)));
  return [
    ...(description.alpnProtocol === '' ? [] : [tlv(0x01, description.alpnProtocol)]),
    ...(description.serverName === '' ? [] : [tlv(0x02, description.serverName)]),
    tlv(0x20, Buffer.concat([Buffer.from(client), ...ofTls])),
  ];
}

function tlv(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([Buffer.from([type, bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** Empty where a certificate has none, or more than a TLV among others should hold. */
function commonNameOf(der: Uint8Array): string {
  const { subject } = new X509Certificate(der).toLegacyObject();
  const commonName = ([] as (string | undefined)[]).concat(subject.CN).at(-1) ?? '';
  return Buffer.byteLength(commonName) <= 256 ? commonName : '';
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [head, tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const [before, after] = [head, tail ?? ''].map((part) => (part === '' ? [] : part.split(':')));
  const groups = [...before, ...new Array<string>(8 - before.length - after.length).fill('0'), ...after];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index);
  return bytes;
}
