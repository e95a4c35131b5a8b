/** Keys come to members that joined late, out of backups and from other fleets: by way of a recovery token. */
import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BackupSummary,
  type Ceremony,
  type Hsm,
  type HsmKey,
  readBackup,
  type RecoveryToken,
} from '@nest-hsm/hsm';
import { KeyringFleet, TestRecoveryToken } from '../support/keyring-fleet.js';
import { rawObjects } from '../support/raw-token.js';
import { TestToken } from '../support/token.js';

let recovery: TestRecoveryToken;
let tokens: Record<'a' | 'b' | 'c', TestToken>;
let fleet: KeyringFleet;
let keys: { signer: HsmKey; rsa: HsmKey; kek: HsmKey; mac: HsmKey };
let backup: BackupSummary;
let file: string;

beforeAll(async () => {
  recovery = await TestRecoveryToken.made();
  tokens = { a: new TestToken('ca-a'), b: new TestToken('ca-b'), c: new TestToken('ca-c') };
  fleet = new KeyringFleet(tokens, [recovery]);
  await fleet.enrol();
  keys = await fleet.opened(
    async (hsm) => ({
      signer: await hsm.generateKeyPair({ label: 'signer', algorithm: 'ec-p384' }),
      rsa: await hsm.generateKeyPair({ label: 'rsa', algorithm: 'rsa-2048' }),
      kek: await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' }),
      mac: await hsm.generateSecretKey({ label: 'mac', algorithm: 'hmac-sha256', usage: 'mac' }),
    }),
    fleet.config(['a', 'b']),
  );
  file = join(fleet.directory, 'first.backup');
  backup = await fleet.opened((hsm) => hsm.custody.createBackup(file), fleet.config(['a', 'b']));
});
afterAll(() => {
  fleet.remove();
  for (const token of [...Object.values(tokens), recovery.token]) token.remove();
});

/** What is on a token that is not as a sealed key should be. */
const loose = (...on: TestToken[]) =>
  on
    .flatMap((token) => rawObjects(token))
    .filter((object) => object.EXTRACTABLE === true || object.MODIFIABLE !== false);
const actions = ({ plan }: Ceremony) => Object.fromEntries(plan.map(({ label, action }) => [label, action]));

/** Holds one ceremony to its end. */
const held = (
  on: KeyringFleet,
  config: Parameters<KeyringFleet['config']>[0],
  prepare: (hsm: Hsm, token: RecoveryToken) => Promise<Ceremony>,
) =>
  on.opened(
    (hsm) =>
      recovery.present(async (token) => {
        const ceremony = await prepare(hsm, token);
        return { planned: actions(ceremony), plan: ceremony.plan, outcomes: await ceremony.carryOut() };
      }),
    on.config(config),
  );

/** That each of the four keys works on that member alone. */
async function works(on: KeyringFleet, member: string): Promise<void> {
  await on.opened(
    async (hsm) => {
      const data = Buffer.from('a message');
      const signature = await hsm.sign(keys.signer, 'ecdsa-sha384', data);
      expect(verify('sha384', data, keys.signer.publicKey ?? '', signature)).toBe(true);
      await hsm.sign(keys.rsa, 'rsa-pss-sha256', data);
      expect(await hsm.decrypt(keys.kek, await hsm.encrypt(keys.kek, data))).toEqual(data);
      expect(await hsm.mac(keys.mac, data)).toHaveLength(32);
    },
    on.config([member]),
  );
}

test('a member that joins late is given every sealed key, with no key bytes outside the tokens', async () => {
  const { planned, outcomes } = await held(fleet, ['a', 'b', 'c'], (hsm, token) => hsm.custody.prepareResync(token));
  expect(planned).toEqual({ signer: 'give', rsa: 'give', kek: 'give', mac: 'give', 'nest-hsm-backup': 'give' });
  expect(outcomes.map(({ members, error }) => ({ members, error }))).toEqual(
    Array.from({ length: 5 }, () => ({ members: ['a', 'b', 'c'], error: undefined })),
  );
  await works(fleet, 'c');
  expect(loose(tokens.a, tokens.b, tokens.c, recovery.token)).toEqual([]);
  // Held again, there is nothing to do.
  const again = await held(fleet, ['a', 'b', 'c'], (hsm, token) => hsm.custody.prepareResync(token));
  expect(new Set(Object.values(again.planned))).toEqual(new Set(['none']));
  expect(again.outcomes.every(({ members }) => members.length === 3)).toBe(true);
});

test('a backup is checked with openssl alone', () => {
  const work = join(fleet.directory, 'openssl');
  mkdirSync(work);
  writeFileSync(join(work, 'backup.pem'), backup.publicKey);
  const script = `
    sed -n 4p "$1" | tr -d '\\n' > manifest.json
    sed -n 3p "$1" | openssl base64 -d -A > manifest.sig
    openssl dgst -sha256 -verify backup.pem -signature manifest.sig manifest.json
    sed -n 5p "$1" | openssl base64 -d -A | openssl dgst -sha256 -r`;
  const [verdict, digest] = execFileSync('sh', ['-ec', script, 'sh', file], { cwd: work, encoding: 'utf8' }).split(
    '\n',
  );
  expect(verdict).toBe('Verified OK');
  const manifest = JSON.parse(readFileSync(join(work, 'manifest.json'), 'utf8')) as {
    keys: { recovery: { transport: string }[] }[];
  };
  expect(digest.split(' ')[0]).toBe(manifest.keys[0].recovery[0].transport);
  expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(backup.sha256);
  const spki = createPublicKey(backup.publicKey).export({ format: 'der', type: 'spki' });
  expect(createHash('sha256').update(spki).digest('hex')).toBe(backup.fingerprint);
});

describe('a backup is restored', () => {
  let empty: Record<'d' | 'e', TestToken>;
  let restored: KeyringFleet;
  beforeAll(async () => {
    empty = { d: new TestToken('ca-d'), e: new TestToken('ca-e') };
    restored = new KeyringFleet(empty, [recovery]);
    await restored.enrol();
  });
  afterAll(() => {
    restored.remove();
    for (const token of Object.values(empty)) token.remove();
  });

  test('into empty tokens, and each key is shown on each member', async () => {
    const read = await readBackup(file, backup.fingerprint);
    const { planned, outcomes } = await held(restored, undefined, (hsm, token) =>
      hsm.custody.prepareRestore(read, token),
    );
    expect(planned).toEqual({ signer: 'give', rsa: 'give', kek: 'give', mac: 'give', 'nest-hsm-backup': 'give' });
    expect(outcomes).toHaveLength(5);
    for (const { members, error } of outcomes)
      expect({ members, error }).toEqual({ members: ['d', 'e'], error: undefined });
    await works(restored, 'd');
    await works(restored, 'e');
    expect(loose(empty.d, empty.e, recovery.token)).toEqual([]);
    const again = await held(restored, undefined, (hsm, token) => hsm.custody.prepareRestore(read, token));
    expect(new Set(Object.values(again.planned))).toEqual(new Set(['none']));
    // The next one is numbered on from it.
    const next = await restored.opened((hsm) => hsm.custody.createBackup(join(restored.directory, 'next.backup')));
    expect(next).toMatchObject({ number: backup.number + 1, fingerprint: backup.fingerprint });
  });
});
