import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { fingerprint } from '../../algorithm/encoding-public-key.js';
import type { KeyId } from '../../key/key.js';
import { type KeyringRecord, toBlob } from '../keyring-record.js';
import { decodeBackup, encodeBackup } from './backup-file.js';
import { blobDigests, type Manifest, toManifestKey } from './manifest.js';

const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spki = signer.publicKey.export({ format: 'der', type: 'spki' });
const pin = fingerprint(spki);

const record = (label: string, changes: Partial<KeyringRecord> = {}): KeyringRecord => ({
  ...{ version: 1, id: randomBytes(16).toString('hex') as KeyId, label, algorithm: 'aes-256', usage: 'encrypt' },
  ...{ state: 'sealed', generation: 4, checkValue: randomBytes(61).toString('base64'), members: [] },
  recovery: [
    {
      ...{ fingerprint: 'ab'.repeat(32), algorithm: 'rsa-oaep-sha1' },
      transport: toBlob(randomBytes(384)),
      wrapped: toBlob(randomBytes(40)),
    },
  ],
  ...changes,
});
const records = [record('first'), record('second')];
const manifest = (changes: object = {}): Manifest => ({
  ...{ format: 'nest-hsm backup', version: 1, fleet: 'ca', number: 7, created: '2026-01-02T03:04:05.678Z' },
  ...{ keys: records.map(toManifestKey), tombstones: [], absent: [] },
  ...changes,
});
const blobs = records.flatMap(({ recovery }) =>
  recovery.flatMap(({ transport, wrapped }) => [transport.bytes, wrapped.bytes]),
);

const signed = (text: string | Buffer, with_ = blobs, by = signer, how: Buffer = spki) =>
  encodeBackup(how, sign('sha256', Buffer.from(text), by.privateKey), Buffer.from(text), with_);
const good = () => signed(JSON.stringify(manifest()));
const lines = () => good().toString().split('\n');
const joined = (parts: readonly string[]) => Buffer.from(parts.join('\n'));

function refusalOf(bytes: Buffer): string {
  try {
    decodeBackup(bytes, pin);
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_HSM_BACKUP_INVALID' });
    return (error as Error).message;
  }
  throw new Error('want a refusal');
}

test('what was written is read, as a keyring would have it', () => {
  const { manifest: read, records: back, sha256 } = decodeBackup(good(), pin);
  expect(read).toEqual(manifest());
  expect(back).toEqual(records);
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(blobDigests(read.keys)).toHaveLength(4);
});

test('a backup of no key is one', () => {
  expect(decodeBackup(signed(JSON.stringify(manifest({ keys: [] })), []), pin).records).toEqual([]);
});

const swapped = (parts: string[], one: number, other: number) => {
  [parts[one], parts[other]] = [parts[other], parts[one]];
  return joined(parts);
};
const replaced = (index: number, line: string) => {
  const parts = lines();
  parts[index] = line;
  return joined(parts);
};
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherSpki = other.publicKey.export({ format: 'der', type: 'spki' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });

test.each<[string, () => Buffer, RegExp]>([
  ['nothing', () => Buffer.alloc(0), /truncated/],
  ['one line', () => Buffer.from('nest-hsm backup 1\n'), /line 1/],
  ['random bytes', () => Buffer.concat([randomBytes(5_000), Buffer.from('\n')]), /line 1/],
  ['another version', () => replaced(0, 'nest-hsm backup 2'), /line 1/],
  ['its last byte missing', () => good().subarray(0, -1), /truncated/],
  ['its last blob missing', () => joined([...lines().slice(0, -2), '']), /want 4 blobs, got 3/],
  ['a line more', () => Buffer.concat([good(), Buffer.from('AAAA\n')]), /want 4 blobs, got 5/],
  ['an empty line at its end', () => Buffer.concat([good(), Buffer.from('\n')]), /want 4 blobs, got 5/],
  ['the line breaks of another system', () => Buffer.from(good().toString().replaceAll('\n', '\r\n')), /line 1/],
  ['two blobs of one key reordered', () => swapped(lines(), 4, 5), /line 5/],
  ['the blobs of two keys reordered', () => swapped(lines(), 4, 6), /line 5/],
  ['a blob altered', () => replaced(6, randomBytes(384).toString('base64')), /line 7/],
  ['a blob empty', () => replaced(6, ''), /line 7/],
  ['a blob that is not in its canonical form', () => replaced(7, `${lines()[7]}=`), /line 8/],
  ['an oversized blob', () => replaced(7, Buffer.alloc(20_000).toString('base64')), /line 8/],
  ['a manifest altered', () => replaced(3, lines()[3].replace('"number":7', '"number":8')), /signature/],
  ['a signature altered', () => replaced(2, lines()[2].replace(/^M./, 'MA')), /signature|base64/],
  [
    'the signature of something else',
    () => replaced(2, sign('sha256', Buffer.from('{}'), signer.privateKey).toString('base64')),
    /signature/,
  ],
  ['no signature', () => replaced(2, ''), /line 3/],
  [
    'the signature of another key, which it names',
    () => signed(JSON.stringify(manifest()), blobs, other, otherSpki),
    /fingerprint/,
  ],
  [
    'the signature of another key, which it does not name',
    () => signed(JSON.stringify(manifest()), blobs, other),
    /signature/,
  ],
  ['an enormous public key', () => replaced(1, Buffer.alloc(1 << 20).toString('base64')), /line 2/],
])('a backup with %s is refused', (_, bytes, message) => {
  expect(refusalOf(bytes())).toMatch(message);
});

test('a signature of another kind of key is refused, though it is the one that is pinned', () => {
  const der = p384.publicKey.export({ format: 'der', type: 'spki' });
  expect(() => decodeBackup(signed('{}', [], p384, der), fingerprint(der))).toThrow(/P-256/);
});

describe('a manifest that is signed and yet hostile is refused:', () => {
  const [first] = manifest().keys;
  const withFirst = (changes: object) => JSON.stringify(manifest({ keys: [{ ...first, ...changes }] }));
  test.each<[string, string]>([
    ['not JSON', '{'],
    ['deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['a huge number', JSON.stringify(manifest()).replace('"number":7', '"number":1e400')],
    ['a fraction', JSON.stringify(manifest({ number: 1.5 }))],
    ['a number below one', JSON.stringify(manifest({ number: 0 }))],
    ['one id twice', JSON.stringify(manifest({ keys: [first, first] }))],
    ['an id that is a path', withFirst({ id: '../../../../etc/passwd0000000000' })],
    ['an id in capitals', withFirst({ id: first.id.toUpperCase().replace(/^./, 'A') })],
    ['a label that is none', withFirst({ label: '' })],
    ['a label that is too long', withFirst({ label: 'x'.repeat(65) })],
    ['a fleet that is a path', JSON.stringify(manifest({ fleet: '../ca' }))],
    ['an algorithm that there is not', withFirst({ algorithm: 'des' })],
    ['the class of another algorithm', withFirst({ class: 'private' })],
    ['a secret key with a public half', withFirst({ spki: 'AAAA' })],
    ['a secret key without a check value', withFirst({ checkValue: undefined })],
    ['a key without a form', withFirst({ recovery: [] })],
    ['a key of too many forms', withFirst({ recovery: Array.from({ length: 9 }, () => first.recovery[0]) })],
    ['another field', JSON.stringify({ ...manifest(), extra: 1 })],
    ['a prototype', JSON.stringify(manifest()).replace('{', '{"__proto__":{"x":1},')],
    ['a time that is none', JSON.stringify(manifest({ created: 'yesterday' }))],
    [
      'ten thousand keys and one',
      JSON.stringify(
        manifest({
          keys: Array.from({ length: 10_001 }, (_, index) => ({ ...first, id: index.toString(16).padStart(32, '0') })),
        }),
      ),
    ],
  ])('%s', (_, text) => {
    expect(refusalOf(signed(text))).toMatch(/^backup: /);
  });

  test('but a label may look like a path: it never becomes one', () => {
    const keys = records.map((each) => toManifestKey({ ...each, label: '../../etc/passwd' }));
    expect(decodeBackup(signed(JSON.stringify(manifest({ keys }))), pin).records[0].label).toBe('../../etc/passwd');
  });
});
