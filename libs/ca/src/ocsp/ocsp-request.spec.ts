import { extension, oid, sequence, tlv } from '../../../../test/support/csr.js';
import { maximumOcspRequestBytes, parseOcspRequest } from './ocsp-request.js';

const sha1 = sequence(oid('2b0e03021a'), [0x05, 0x00]);
const hash = (octet: number, length = 20): Buffer => tlv(0x04, Buffer.alloc(length, octet));
const serial = tlv(0x02, [0x41, 0x42]);
const certId = sequence(sha1, hash(1), hash(2), serial);
const nonceExtension = (value: Buffer): Buffer => extension('2b0601050507300102', value);
const nonce = (length: number): Buffer => tlv(0xa2, sequence(nonceExtension(tlv(0x04, Buffer.alloc(length, 7)))));
const request = (...fields: Buffer[]): Buffer => sequence(sequence(...fields));
const list = sequence(sequence(certId));

test.each<[string, Buffer]>([
  ['the shortest', request(list)],
  ['that writes version v1 out', request(tlv(0xa0, tlv(0x02, [0])), list)],
  ['with a requestor name', request(tlv(0xa1, tlv(0xa4, sequence())), list)],
  ['with a signature', sequence(sequence(list), tlv(0xa0, sequence(sha1, tlv(0x03, [0, 1]))))],
  ['with an extension that is not critical', request(list, tlv(0xa2, sequence(extension('2b060105050730010a', sequence()))))],
])('reads a request %s', (_, octets) => {
  const [{ hash: name, nameHash, keyHash, serial: number }] = parseOcspRequest(octets).certIds;
  expect([name, nameHash[0], keyHash[0], number]).toEqual(['sha1', 1, 2, '4142']);
}); // prettier-ignore

test.each([1, 32, 33, 128])('reads a nonce of %d octets', (length) => {
  expect(parseOcspRequest(request(list, nonce(length))).nonce).toEqual(Buffer.alloc(length, 7));
});

test('knows SHA-256, and no other hash', () => {
  const hashed = (algorithm: string) => request(sequence(sequence(sequence(sequence(oid(algorithm)), hash(1, 32), hash(2, 32), serial))));
  expect(parseOcspRequest(hashed('608648016503040201')).certIds[0].hash).toBe('sha256');
  expect(parseOcspRequest(hashed('608648016503040203')).certIds[0].hash).toBeUndefined();
}); // prettier-ignore

test('drops the zero that keeps a serial positive, and has no text for a negative one', () => {
  const numbered = (...octets: number[]) =>
    parseOcspRequest(request(sequence(sequence(sequence(sha1, hash(1), hash(2), tlv(0x02, octets)))))).certIds[0]
      .serial;
  expect([numbered(0x00, 0x80), numbered(0x00), numbered(0x80)]).toEqual(['80', '00', undefined]);
});

const deep = Array.from({ length: 40 }).reduce<Buffer>((inner) => tlv(0xa0, inner), tlv(0x05));
test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['noise', Buffer.from('GET / HTTP/1.1')],
  ['a length that lies', Buffer.from('3082ffff30', 'hex')],
  ['an indefinite length', Buffer.from('3080300030000000', 'hex')],
  ['too many octets', request(list, Buffer.alloc(maximumOcspRequestBytes))],
  ['octets behind the end', Buffer.concat([request(list), Buffer.of(0)])],
  ['another version', request(tlv(0xa0, tlv(0x02, [1])), list)],
  ['no certificate', request(sequence())],
  ['17 certificates', request(sequence(...Array.from({ length: 17 }, () => sequence(certId))))],
  ['a list that is a SET', request(tlv(0x31, sequence(certId)))],
  ['a CertID without serial', request(sequence(sequence(sequence(sha1, hash(1), hash(2)))))],
  ['a CertID with more than a serial', request(sequence(sequence(sequence(sha1, hash(1), hash(2), serial, serial))))],
  ['a serial that is text', request(sequence(sequence(sequence(sha1, hash(1), hash(2), tlv(0x0c, [0x41])))))],
  ['a serial with a needless zero', request(sequence(sequence(sequence(sha1, hash(1), hash(2), tlv(0x02, [0, 1])))))],
  ['a hash algorithm that is no SEQUENCE', request(sequence(sequence(sequence(oid('2b0e03021a'), hash(1), hash(2), serial))))],
  ['an empty nonce', request(list, nonce(0))],
  ['a nonce of 129 octets', request(list, nonce(129))],
  ['a nonce that is no OCTET STRING', request(list, tlv(0xa2, sequence(nonceExtension(tlv(0x0c, [0x41])))))],
  ['a nonce without any encoding', request(list, tlv(0xa2, sequence(nonceExtension(Buffer.from('ffffffff', 'hex')))))],
  ['two nonces', request(list, tlv(0xa2, sequence(nonceExtension(hash(1)), nonceExtension(hash(1)))))],
  ['a critical extension it does not know', request(list, tlv(0xa2, sequence(sequence(oid('2b060105050730010a'), tlv(0x01, [0xff]), tlv(0x04, sequence())))))],
  ['a critical extension of one certificate', request(sequence(sequence(certId, tlv(0xa0, sequence(sequence(oid('2b060105050730010a'), tlv(0x01, [0xff]), tlv(0x04, sequence())))))))],
  ['extensions before the list', sequence(sequence(nonce(8), list))],
  ['fields behind the extensions', request(list, nonce(8), list)],
  ['a signature that is none', sequence(sequence(list), tlv(0x03, [0]))],
  ['more than a signature', sequence(sequence(list), tlv(0xa0, sequence()), tlv(0xa0, sequence()))],
  ['nesting without end', request(deep)],
])('refuses %s', (_, octets) => {
  expect(() => parseOcspRequest(octets)).toThrow(expect.objectContaining({ name: 'MalformedOcspRequest' }) as Error);
}); // prettier-ignore
