import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BackupState,
  type BackupSummary,
  type Ceremony,
  type Hsm,
  type HsmKey,
  readBackup,
  type RecoveryToken,
} from '@nest-hsm/hsm';
import { AgentUnderTest } from './agent-under-test.js';
import { KeyringFleet, TestRecoveryToken } from './keyring-fleet.js';
import { rawObjects } from './raw-token.js';
import { TestToken } from './token.js';

/** Keys come to members that joined late, out of backups and from other fleets: by way of a recovery token. */
export function describeRecovery(tier: 'gate' | 'full'): void {
  /** What takes longer than the gate has time for. */
  const inFull = tier === 'full' ? test : (): undefined => undefined;
  let recovery: TestRecoveryToken;
  let tokens: Record<'a' | 'b' | 'c', TestToken>;
  let fleet: KeyringFleet;
  let keys: { signer: HsmKey; rsa: HsmKey; kek: HsmKey; mac: HsmKey };
  let backup: BackupSummary;
  let file: string;
  let kept: { state: BackupState; retired: BackupState };
  /** What the first fleet encrypted and authenticated. */
  let sealed: Buffer;
  let maced: Buffer;

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
    backup = await fleet.opened(
      async (hsm) => {
        sealed = await hsm.encrypt(keys.kek, Buffer.from('a message'));
        maced = await hsm.mac(keys.mac, Buffer.from('a message'));
        return hsm.custody.createBackup(file);
      },
      fleet.config(['a', 'b']),
    );
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
    recoveryConfig = recovery.config(),
  ) =>
    on.opened(
      (hsm) =>
        recovery.present(async (token) => {
          const ceremony = await prepare(hsm, token);
          return { planned: actions(ceremony), plan: ceremony.plan, outcomes: await ceremony.carryOut() };
        }, recoveryConfig),
      on.config(config),
    );

  /** That these keys work on that member alone. */
  async function works(
    on: KeyringFleet,
    member: string,
    labels: readonly (keyof typeof keys)[] = ['signer', 'rsa', 'kek', 'mac'],
  ): Promise<void> {
    const data = Buffer.from('a message');
    const uses: Record<keyof typeof keys, (hsm: Hsm) => Promise<unknown>> = {
      signer: async (hsm) => {
        const signature = await hsm.sign(keys.signer, 'ecdsa-sha384', data);
        expect(verify('sha384', data, keys.signer.publicKey ?? '', signature)).toBe(true);
      },
      rsa: (hsm) => hsm.sign(keys.rsa, 'rsa-pss-sha256', data),
      kek: async (hsm) => expect(await hsm.decrypt(keys.kek, sealed)).toEqual(data),
      mac: async (hsm) => expect(await hsm.mac(keys.mac, data)).toEqual(maced),
    };
    await on.opened(
      async (hsm) => {
        for (const label of labels) await uses[label](hsm);
      },
      on.config([member]),
    );
  }

  test('a member that joins late is given every sealed key, with no key bytes outside the tokens', async () => {
    const directory = join(recovery.token.directory, 'audit');
    const { planned, outcomes } = await held(
      fleet,
      ['a', 'b', 'c'],
      (hsm, token) => hsm.custody.prepareResync(token),
      recovery.config({ audit: { directory } }),
    );
    expect(planned).toEqual({ signer: 'give', rsa: 'give', kek: 'give', mac: 'give', 'nest-hsm-backup': 'give' });
    expect(outcomes.map(({ members, error }) => ({ members, error }))).toEqual(
      Array.from({ length: 5 }, () => ({ members: ['a', 'b', 'c'], error: undefined })),
    );
    await works(fleet, 'c');
    expect(loose(tokens.a, tokens.b, tokens.c, recovery.token)).toEqual([]);
    // The recovery token's trail says what went to whom, and said so before.
    const trail = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.jsonl'))
      .flatMap((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').trim().split('\n'))
      .map((line) => JSON.parse(line) as { kind: string; operation: string; recipients: string[] });
    const intents = trail.filter(({ kind, operation }) => kind === 'intent' && operation === 'transfer');
    expect(intents.map(({ recipients }) => recipients)).toEqual(
      Array.from({ length: 5 }, () => [fleet.fingerprints.c]),
    );
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

  describe('what a backup does not do:', () => {
    const read = () => readBackup(file, backup.fingerprint);
    /** A fleet of one empty token, with or without what else it knows. */
    async function emptyFleet(
      work: (empty: KeyringFleet, token: TestToken) => Promise<void>,
      name?: string,
    ): Promise<void> {
      const token = new TestToken('ca-empty');
      const empty = new KeyringFleet({ f: token }, [recovery], name);
      try {
        await empty.enrol();
        await work(empty, token);
      } finally {
        empty.remove();
        token.remove();
      }
    }
    const untouched = (token: TestToken) =>
      expect(rawObjects(token).every(({ label }) => /^nest-hsm-(member|probe)$/.test(label))).toBe(true);

    test('come back with the PIN of an application alone', async () => {
      await emptyFleet(async (empty, token) => {
        const { records } = await read();
        const agent = await AgentUnderTest.loggedIn(token);
        const [memberKey] = await agent.call('findKeys', { label: 'nest-hsm-member' });
        for (const {
          id,
          label,
          algorithm,
          usage,
          spki,
          checkValue,
          recovery: [form],
        } of records) {
          const transport = Buffer.from(form.transport.bytes, 'base64');
          const wrapped = Buffer.from(form.wrapped.bytes, 'base64');
          const key = { id, label, algorithm, usage, extractable: false };
          const terms = { unwrappingKeyId: memberKey.id, algorithm: form.algorithm, key, transport, wrapped };
          const identity = {
            spki: spki ? Buffer.from(spki, 'base64') : undefined,
            checkValue: checkValue ? Buffer.from(checkValue, 'base64') : undefined,
          };
          // What it was left to is the recovery key.
          await expect(agent.call('importKey', { ...terms, ...identity })).rejects.toMatchObject({
            code: 'ERR_HSM_DECRYPTION_FAILED',
          });
          // And what takes keys in does not pass them on.
          const recipients = [{ spki: memberKey.spki as Buffer, algorithm: form.algorithm }];
          await expect(agent.call('transferKey', { ...terms, recipients })).rejects.toMatchObject({
            code: 'ERR_HSM_ARGUMENT_INVALID',
          });
        }
        AgentUnderTest.killAll();
        // Nor does its token become a recovery token.
        const own = token.config({ name: 'recovery', stateDirectory: join(empty.directory, 'own') });
        await recovery.present((pretended) => pretended.makeKey(), own);
        const ceremony = empty.opened(async (hsm) =>
          recovery.present(async (pretended) => hsm.custody.prepareRestore(await read(), pretended), own),
        );
        await expect(ceremony).rejects.toMatchObject({ code: 'ERR_HSM_RECOVERY_REFUSED' });
        expect(rawObjects(token).filter(({ id }) => records.some((each) => each.id === id))).toEqual([]);
      });
    });

    inFull('open on another recovery token', async () => {
      const other = await TestRecoveryToken.made();
      await emptyFleet(async (empty, token) => {
        const outcome = await empty.opened((hsm) =>
          other.present(async (wrong) => {
            const ceremony = await hsm.custody.prepareRestore(await read(), wrong);
            return { planned: ceremony.plan, outcomes: await ceremony.carryOut() };
          }),
        );
        expect(outcome.planned.map(({ action, why }) => ({ action, why }))).toEqual(
          Array.from({ length: 5 }, () => ({ action: 'cannot', why: 'no form of it is for this recovery token' })),
        );
        expect(outcome.outcomes).toEqual([]);
        untouched(token);
      });
      other.token.remove();
    });

    test('bring back what was destroyed, or come back when they are too old', async () => {
      await fleet.opened(async (hsm) => {
        const receipt = await hsm.destroyKey(keys.mac);
        expect(receipt.receipt).toMatchObject({
          state: 'pending',
          backups: { restorable: [expect.stringContaining(backup.sha256)] },
        });
      });
      const { planned, plan } = await held(fleet, undefined, async (hsm, token) =>
        hsm.custody.prepareRestore(await read(), token),
      );
      expect(planned).toMatchObject({ mac: 'none', signer: 'none', kek: 'none' });
      expect(plan.find(({ label }) => label === 'mac')?.why).toMatch(/^destroyed /);
      kept = await fleet.opened(async ({ custody }) => {
        const before = await custody.backupState();
        await custody.retireBackups(backup.number + 1);
        return { state: before, retired: await custody.backupState() };
      });
      expect(
        Object.values(tokens)
          .flatMap((token) => rawObjects(token))
          .filter(({ id }) => id === keys.mac.id),
      ).toEqual([]);
      const tooOld = held(fleet, undefined, async (hsm, token) => hsm.custody.prepareRestore(await read(), token));
      await expect(tooOld).rejects.toMatchObject({
        code: 'ERR_HSM_BACKUP_REFUSED',
        message: expect.stringContaining('want number 2') as string,
      });
    });

    inFull(
      'come back where only the state says that they are too old or of what was destroyed, or to another fleet',
      async () => {
        const { state, retired } = kept;
        // The same where only the state was kept.
        await emptyFleet(async (empty, token) => {
          const from = (given: BackupState) =>
            held(empty, undefined, async (hsm, present) => hsm.custody.prepareRestore(await read(), present, given));
          await expect(from(retired)).rejects.toMatchObject({ code: 'ERR_HSM_BACKUP_REFUSED' });
          untouched(token);
          expect((await from(state)).planned).toMatchObject({ mac: 'none', signer: 'give', rsa: 'give', kek: 'give' });
          expect(rawObjects(token).filter(({ id }) => id === keys.mac.id)).toEqual([]);
          await works(empty, 'f', ['signer', 'rsa', 'kek']);
        });
        await emptyFleet(async (empty, token) => {
          const strange = held(empty, undefined, async (hsm, present) =>
            hsm.custody.prepareRestore(await read(), present),
          );
          await expect(strange).rejects.toMatchObject({
            code: 'ERR_HSM_BACKUP_REFUSED',
            message: expect.stringContaining('"tls"') as string,
          });
          untouched(token);
        }, 'tls');
      },
    );
  });

  inFull('the keys of one fleet move to another, and what cannot is named', async () => {
    const token = new TestToken('new-vendor');
    const destination = new KeyringFleet({ g: token }, [recovery], 'next');
    const stray = await fleet.opened(
      async (hsm) => hsm.generateKeyPair({ label: 'stray', algorithm: 'ed25519' }),
      tokens.a.config({ name: 'ca' }),
    );
    try {
      await destination.enrol();
      const departure = await fleet.opened((hsm) => hsm.departure());
      const { planned, plan, outcomes } = await held(destination, undefined, (hsm, present) =>
        hsm.custody.prepareArrival(departure, present),
      );
      const own = { 'nest-hsm-backup': 'none', 'nest-hsm-receipt': 'none' };
      expect(planned).toEqual({ signer: 'give', rsa: 'give', kek: 'give', stray: 'cannot', ...own });
      expect(plan.find(({ id }) => id === stray.id)?.why).toMatch(/never left it/);
      expect(outcomes.map(({ members, error }) => ({ members, error }))).toEqual(
        Array.from({ length: 3 }, () => ({ members: ['g'], error: undefined })),
      );
      await works(destination, 'g', ['signer', 'rsa', 'kek']);
      expect(loose(token, recovery.token)).toEqual([]);
      const vendor = await fleet.opened((hsm) => hsm.departure(), tokens.a.config({ name: 'ca' }));
      expect(new Set(vendor.others.map(({ action }) => action))).toEqual(new Set(['cannot']));
      await expect(
        fleet.opened(async (hsm) => hsm.custody.backups(), tokens.a.config({ name: 'ca' })),
      ).rejects.toMatchObject({ code: 'ERR_HSM_CONFIG_INVALID' });
    } finally {
      destination.remove();
      token.remove();
    }
  });
}
