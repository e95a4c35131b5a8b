import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CaConfig } from '../config.js';
import { encodePem } from '../der/pem.js';
import type { CaObserver } from '../observer.js';
import { holdCeremony } from './ceremony.js';
import { canonical, signedOctets, type TranscriptLine } from './transcript.js';
import { type VerifiedCeremony, verifyTranscript } from './verify-transcript.js';

const config: CaConfig = {
  authority: {
    root: { label: 'root', subject: { commonName: 'Ceremony Root' }, algorithm: 'ec-p384' },
    intermediates: { policy: { label: 'policy', subject: { commonName: 'Policy' }, algorithm: 'ec-p256' } },
    issuing: { label: 'issuing', subject: { commonName: 'Issuing' }, algorithm: 'ec-p256', parent: 'policy' },
  },
};
const scriptSha256 = 'ab'.repeat(32);
/** begin, an intent, key and certificate of each CA, end. */
const lineCount = 11;

let ca: TestCa;
let directory: string;
let transcript: string;
beforeEach(async () => {
  ca = await TestCa.create();
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-ceremony-'));
  transcript = join(directory, 'transcript.jsonl');
});
afterEach(async () => {
  await ca.remove();
  rmSync(directory, { recursive: true });
});

const hold = (change: Partial<Parameters<typeof holdCeremony>[0]> = {}): Promise<VerifiedCeremony> =>
  holdCeremony({
    token: ca.token,
    ...ca.stores,
    config,
    now: () => ca.now,
    title: 'Root ceremony 2026',
    witnesses: ['Ada', 'Grace'],
    scriptSha256,
    transcript,
    ...change,
  });
const lines = (): string[] => readFileSync(transcript, 'utf8').split('\n').slice(0, -1);
const rootDer = (): Buffer => {
  const line = lines().map((text) => JSON.parse(text) as TranscriptLine).find(({ step }) => step === 'certificate'); // prettier-ignore
  return Buffer.from(line?.step === 'certificate' ? line.certificate : '', 'base64');
};

test('makes every CA, and a transcript that verifies with the root certificate alone', async () => {
  const { cas, ended, witnesses } = await hold();
  expect(cas.map(({ name, label }) => [name, label])).toEqual([['root', 'root'], ['policy', 'policy'], ['issuing', 'issuing']]); // prettier-ignore
  expect([typeof ended, witnesses, lines().length]).toEqual(['string', ['Ada', 'Grace'], lineCount]);
  const verified = verifyTranscript(readFileSync(transcript), rootDer());
  expect(verified.cas.map(({ certificate }) => certificate.der)).toEqual(cas.map(({ certificate }) => certificate.der));

  const open = await ca.open({ authority: config.authority });
  expect(open.chain.map(({ der }) => der)).toEqual(cas.map(({ certificate }) => certificate.der).reverse());
  // Held again it checks, and does nothing.
  const { signatures } = ca.token;
  await hold();
  expect([ca.token.signatures, lines().length]).toEqual([signatures, lineCount]);
});

test("openssl verifies the chain and each line's signature, with nothing of ours", async () => {
  await hold();
  const { cas } = verifyTranscript(readFileSync(transcript), rootDer());
  const [root, policy, issuing] = cas.map(({ name, certificate }) => {
    const file = join(directory, `${name}.crt`);
    writeFileSync(file, encodePem('CERTIFICATE', certificate.der));
    return file;
  });
  const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8' });
  const at = String(Math.floor(ca.now.getTime() / 1000));
  expect(openssl('verify', '-x509_strict', '-attime', at, '-CAfile', root, '-untrusted', policy, issuing)).toContain(
    'OK',
  );
  const key = join(directory, 'root.pub');
  writeFileSync(key, openssl('x509', '-in', root, '-noout', '-pubkey'));
  const signed = lines().map((text) => JSON.parse(text) as TranscriptLine).filter(({ signature }) => signature !== undefined); // prettier-ignore
  expect(signed.length).toBe(lineCount - 3);
  for (const line of signed) {
    const [signature, octets] = [join(directory, 'signature'), join(directory, 'octets')];
    writeFileSync(signature, Buffer.from(line.signature ?? '', 'base64'));
    writeFileSync(octets, signedOctets(line));
    expect(openssl('dgst', '-sha384', '-verify', key, '-signature', signature, octets)).toContain('Verified OK');
  }
});

test('a crash after any line or in any step is gone on from, with one key and one certificate each', async () => {
  const steps: string[] = [];
  await hold({ observer: { step: (step, subject) => void steps.push(`${step} ${subject}`) } });
  const made = steps.length;
  for (let crash = 0; crash < made; crash += 1) {
    const fresh = await TestCa.create();
    const path = join(directory, `crash-${crash}.jsonl`);
    let seen = 0;
    const observer: CaObserver = {
      step: () => {
        if (seen++ === crash) throw new Error('crash');
      },
    };
    const options = { token: fresh.token, ...fresh.stores, now: () => fresh.now, transcript: path };
    await expect(hold({ ...options, observer })).rejects.toThrow('crash');
    const { cas } = await hold(options);
    expect(cas).toHaveLength(3);
    expect((await fresh.token.listKeys()).map(({ label }) => label)).toEqual(['root', 'policy', 'issuing']);
    expect((await fresh.states()).filter((state) => state === 'issued')).toHaveLength(3);
    const root = cas[0].certificate.der;
    expect(verifyTranscript(readFileSync(path), root).ended).toBeDefined();
    await fresh.remove();
  }
});

test('what a crash left of a line is taken off', async () => {
  await hold();
  appendFileSync(transcript, '{"half');
  await hold();
  expect(lines()).toHaveLength(lineCount);
});

test.each<[string, () => Promise<unknown>, string]>([
  ['a key that is there already', async () => (await ca.token.generateKeyPair({ label: 'policy', algorithm: 'ec-p256' }), hold()), 'ERR_CA_CEREMONY_REFUSED'],
  ['the transcript of another script', async () => (await hold(), hold({ scriptSha256: 'cd'.repeat(32) })), 'ERR_CA_CEREMONY_REFUSED'],
  ['an external root', () => hold({ config: { authority: { ...config.authority, root: { external: true, sha256: 'ab'.repeat(32) } } } }), 'ERR_CA_CEREMONY_REFUSED'],
  ['a transcript that cannot be written', () => hold({ transcript: join(directory, 'none', 'transcript') }), 'ERR_CA_CEREMONY_REFUSED'],
  ['a file that is no transcript', () => (writeFileSync(transcript, 'notes\n'), hold()), 'ERR_CA_TRANSCRIPT_INVALID'],
])('refuses %s, and makes no key', async (_, attempt, code) => {
  const existing = async (): Promise<string[]> => (await ca.token.listKeys()).map(({ id }) => id);
  await expect(attempt()).rejects.toMatchObject({ code });
  const keys = await existing();
  await expect(attempt()).rejects.toMatchObject({ code });
  expect((await existing()).length).toBeLessThanOrEqual(Math.max(keys.length, 3) + 1);
}); // prettier-ignore

describe('a transcript', () => {
  type Change = (lines: TranscriptLine[]) => unknown;
  /** Somebody who does not have the root key, but can hash. */
  const rechain = (changed: TranscriptLine[]): Buffer => {
    let prev = '0'.repeat(64);
    const texts = changed.map((line, index) => {
      const text = canonical({ ...line, seq: index + 1, prev });
      prev = createHash('sha256').update(text).digest('hex');
      return text;
    });
    return Buffer.from(`${texts.join('\n')}\n`);
  };
  const parsed = (): TranscriptLine[] => lines().map((text) => JSON.parse(text) as TranscriptLine);

  test.each<[string, Change]>([
    ['without one line', (all) => all.splice(5, 1)],
    ['without its begin', (all) => all.shift()],
    ['with one line twice', (all) => all.splice(5, 0, all[5])],
    ['with two lines exchanged', (all) => all.splice(4, 2, all[5], all[4])],
    ['with another title', (all) => (all[0] = { ...all[0], title: 'Another' } as TranscriptLine)],
    ['with another time', (all) => (all[6] = { ...all[6], time: '2020-01-01T00:00:00.000Z' })],
    ['with another script', (all) => (all[0] = { ...all[0], script: '00'.repeat(32) } as TranscriptLine)],
    ["with another CA's key", (all) => (all[5] = { ...all[5], publicKey: (all[2] as { publicKey: string }).publicKey } as TranscriptLine)],
    ['with a CA that is called as a file elsewhere', (all) => (all[1] = { ...all[1], ca: '../issuing' } as TranscriptLine)],
    ['with its last signature left out', (all) => (delete (all[10] as { signature?: string }).signature)],
  ])('%s does not verify, however it is hashed again', async (_, change) => {
    await hold();
    const root = rootDer();
    const changed = parsed();
    change(changed);
    expect(() => verifyTranscript(rechain(changed), root)).toThrow(expect.objectContaining({ code: 'ERR_CA_TRANSCRIPT_INVALID' }) as Error);
  }); // prettier-ignore

  test.each<[string, (text: string) => string]>([
    ['cut in the middle of a line', (text) => text.slice(0, -20)],
    ['with white space', (text) => text.replace('{', '{ ')],
    ['with a field more', (text) => text.replace('{', '{"a":1,')],
    ['of another order', (text) => text.split('\n').reverse().join('\n')],
    ['that is empty', () => ''],
  ])('%s is refused', async (_, change) => {
    await hold();
    const root = rootDer();
    const text = change(readFileSync(transcript, 'utf8'));
    expect(() => verifyTranscript(Buffer.from(text), root)).toThrow(expect.objectContaining({ code: 'ERR_CA_TRANSCRIPT_INVALID' }) as Error);
  }); // prettier-ignore

  test('with its end cut off says so, and that of another root is refused', async () => {
    await hold();
    const root = rootDer();
    const cut = `${lines().slice(0, -1).join('\n')}\n`;
    expect(verifyTranscript(Buffer.from(cut), root).ended).toBeUndefined();
    const other = new X509Certificate(root).raw;
    other[other.length - 1] ^= 1;
    expect(() => verifyTranscript(readFileSync(transcript), other)).toThrow(/want the root certificate that was given/);
  });
});
