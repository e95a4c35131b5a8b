import { constants, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignatureCheck } from './signature-check.js';
import { VerificationThread } from './verification-thread.js';
import { verifyOffLoop } from './verify-off-loop.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-verification-'));
afterAll(() => rmSync(directory, { recursive: true }));

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const ed25519 = generateKeyPairSync('ed25519').privateKey;
const spkiOf = (key: KeyObject): Buffer => createPublicKey(key).export({ format: 'der', type: 'spki' });

function checkOf(key: KeyObject, hash: string | null, octets: Buffer, { isPss = false, isLasting = false } = {}) {
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  const signature = sign(hash, octets, isPss ? { key, ...pss } : key);
  return { spki: spkiOf(key), isLasting, hash, isPss, octets, signature };
}

const message = (index: number): Buffer => Buffer.from(`message ${index}`);
const spoilt = (check: SignatureCheck): SignatureCheck => ({ ...check, octets: Buffer.from('another message') });

test('every kind of signature is told sound from unsound, in the order that was asked, however many at once', async () => {
  const kinds = [
    (octets: Buffer) => checkOf(ec, 'sha256', octets),
    (octets: Buffer) => checkOf(ec, 'sha256', octets, { isLasting: true }),
    (octets: Buffer) => checkOf(rsa, 'sha384', octets),
    (octets: Buffer) => checkOf(rsa, 'sha256', octets, { isPss: true }),
    (octets: Buffer) => checkOf(ed25519, null, octets),
  ];
  const checks = Array.from({ length: 100 }, (_, index) => {
    const check = kinds[index % kinds.length](message(index));
    return index % 3 === 0 ? spoilt(check) : check;
  });
  const outcomes = await Promise.all(checks.map(verifyOffLoop));
  expect(outcomes).toEqual(checks.map((_, index) => (index % 3 === 0 ? 'unsound' : 'sound')));
});

test('PSS is not taken for PKCS #1, nor the other way round', async () => {
  const made = [checkOf(rsa, 'sha256', message(1), { isPss: true }), checkOf(rsa, 'sha256', message(2))];
  const outcomes = await Promise.all(made.map((check) => verifyOffLoop({ ...check, isPss: !check.isPss })));
  expect(outcomes).toEqual(['unsound', 'unsound']);
});

test('a key that OpenSSL cannot use concerns nobody else', async () => {
  const sound = checkOf(ec, 'sha256', message(1));
  const offCurve = Buffer.from(sound.spki);
  offCurve[offCurve.length - 1] ^= 1;
  const checks = [{ ...sound, spki: offCurve }, { ...checkOf(ed25519, null, message(2)), hash: 'sha256' }, sound];
  expect(await Promise.all(checks.map(verifyOffLoop))).toEqual(['key-unusable', 'key-unusable', 'sound']);
});

test('a message that is too long to be copied is verified as well', async () => {
  const check = checkOf(ec, 'sha256', Buffer.alloc(200_000, 7));
  expect(await Promise.all([check, spoilt(check)].map(verifyOffLoop))).toEqual(['sound', 'unsound']);
});

test('what a thread has not answered when it ends is refused, and the next check has another thread', async () => {
  const entry = join(directory, 'thread.mjs');
  writeFileSync(
    entry,
    `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(1));`,
  );
  const thread = new VerificationThread(entry);
  const checks = Array.from({ length: 40 }, (_, index) => thread.check(checkOf(ec, 'sha256', message(index))));
  for (const result of await Promise.allSettled(checks))
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CA_VERIFICATION_UNAVAILABLE' } });

  writeFileSync(entry, `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => parentPort.postMessage(Uint8Array.of(1)));`); // prettier-ignore
  expect(await thread.check(checkOf(ec, 'sha256', message(1)))).toBe('sound');
});

test('a thread has nothing of what the application preloads', async () => {
  const entry = join(directory, 'preloads.mjs');
  writeFileSync(
    entry,
    `import { parentPort } from 'node:worker_threads';
    parentPort.on('message', () => parentPort.postMessage(Uint8Array.of(process.execArgv.length, process.env.HOME ? 1 : 0)));`,
  );
  const thread = new VerificationThread(entry);
  process.execArgv.push('--no-warnings');
  const check = checkOf(ec, 'sha256', message(1));
  const outcomes = Promise.all([thread.check(check), thread.check(check)]);
  expect(await outcomes.finally(() => process.execArgv.pop())).toEqual(['unsound', 'unsound']);
});

test('a thread that cannot start refuses what it was asked', async () => {
  const thread = new VerificationThread(join(directory, 'none.mjs'));
  await expect(thread.check(checkOf(ec, 'sha256', message(1)))).rejects.toMatchObject({
    code: 'ERR_CA_VERIFICATION_UNAVAILABLE',
  });
});
