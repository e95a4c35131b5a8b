/** What can go wrong in a ceremony or at a backup: the key is where it should be or nowhere, and nothing is left loose. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HsmConfig, readBackup } from '@nest-hsm/hsm';
import type { KeyringRecord } from '../../libs/hsm/src/keyring/keyring-record.js';
import { type CeremonyProtocol, CeremonyScene, type KillStep, killSteps } from '../support/ceremony-kills.js';
import { importSecretKeys, rawObjects } from '../support/raw-token.js';

let scene: CeremonyScene;
beforeAll(async () => {
  scene = await CeremonyScene.set();
});
afterAll(() => scene?.remove());

const onJoining = (id: string) => rawObjects(scene.joining.token).filter((object) => object.id === id);
const keyringOf = ({ replication }: HsmConfig) => (replication as { keyring: string }).keyring;
const recordsIn = (config: HsmConfig) =>
  existsSync(keyringOf(config))
    ? readdirSync(keyringOf(config)).filter((name) => /^[0-9a-f]{32}\.json$/.test(name))
    : [];

async function held(protocol: CeremonyProtocol, config: HsmConfig): Promise<void> {
  const outcomes = await scene.hold(protocol, config);
  expect(outcomes.map(({ error }) => error)).toEqual(outcomes.map(() => undefined));
  expect(outcomes.every(({ members }) => members.includes('joining'))).toBe(true);
  expect(outcomes.length).toBeGreaterThan(1);
  expect(scene.loose()).toEqual([]);
}

describe.each<[CeremonyProtocol, readonly KillStep[], withAgents: readonly boolean[]]>([
  ['restore', killSteps, [false, true]],
  ['resync', killSteps, [true]],
  // A restore from records instead of from a file.
  ['migrate', killSteps.slice(-2), [true]],
])('%s, killed -9 while', (protocol, steps, withAgents) => {
  const rows = steps.flatMap((step) =>
    withAgents.map((each) => ({ ...step, agents: each ? 'with its agents' : 'alone', step, withAgents: each })),
  );

  test.each(rows)(
    'the $on is in $function, call $after, $agents: is held again',
    async ({ step, withAgents: together }) => {
      const config = await scene.prepare(protocol);
      await scene.interrupt(protocol, config, step, together);
      expect(scene.loose()).toEqual([]);
      await held(protocol, config);
      expect(scene.leftovers(config)).toEqual([]);
    },
  );
});

describe('a device that fails once,', () => {
  test.each(killSteps.filter(({ function: name }) => name !== 'C_Sign'))(
    '$on in $function, call $after: is asked again by whoever holds the ceremony again',
    async (step) => {
      const config = await scene.prepare('restore');
      const device = step.on === 'member' ? scene.joining : scene.opening;
      device.fail(step.function, 'CKR_FUNCTION_FAILED', { after: step.after, times: 1 });
      const outcomes = await scene.hold('restore', config);
      device.heal();
      for (const { id, error } of outcomes) {
        if (error !== undefined) expect(onJoining(id)).toEqual([]);
      }
      expect(scene.loose()).toEqual([]);
      await held('restore', config);
    },
  );

  test('a member lost in the middle has some keys and not the others, until it is back', async () => {
    const config = await scene.prepare('restore');
    // Two for each key; from the second key on the device is gone.
    scene.joining.fail('C_UnwrapKey', 'CKR_DEVICE_ERROR', { after: 2 });
    const outcomes = await scene.hold('restore', config);
    expect(outcomes.map(({ error }) => error === undefined)).toEqual([true, false, false]);
    scene.joining.heal();
    expect(recordsIn(config).filter((name) => name.startsWith(outcomes[0].id))).toHaveLength(1);
    await held('restore', config);
  });
});

describe('the recovery token', () => {
  const nothing = (config: HsmConfig) => {
    expect(recordsIn(config)).toEqual([]);
    expect(rawObjects(scene.joining.token).every(({ label }) => /^nest-hsm-(member|probe)$/.test(label))).toBe(true);
  };

  test('with a locked PIN is refused before anything is done', async () => {
    const config = await scene.prepare('restore');
    scene.opening.fail('C_Login', 'CKR_PIN_LOCKED');
    await expect(scene.hold('restore', config)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_LOCKED' });
    nothing(config);
  });

  test('with a wrong PIN is refused, and not asked again', async () => {
    const config = await scene.prepare('restore');
    const { pinFile, pin } = scene.opening.token;
    const wrong = (stateDirectory: string) =>
      scene.recovery.present(
        () => Promise.reject(new Error('want it refused')),
        scene.recovery.config({ stateDirectory }),
      );
    const stateDirectory = join(scene.fleet.directory, 'wrong-pin');
    try {
      writeFileSync(pinFile, 'not-the-pin', { mode: 0o600 });
      await expect(wrong(stateDirectory)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
      await expect(wrong(stateDirectory)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_REFUSED_EARLIER' });
    } finally {
      writeFileSync(pinFile, pin, { mode: 0o600 });
    }
    nothing(config);
  });

  test('that goes away ends the ceremony, and what is done stays', async () => {
    const config = await scene.prepare('restore');
    scene.opening.crash('C_UnwrapKey', 'segmentation fault', { after: 2, times: 1 });
    const outcomes = await scene.hold('restore', config).catch((error: Error) => error);
    if (!(outcomes instanceof Error)) expect(outcomes.filter(({ error }) => error !== undefined)).toHaveLength(1);
    expect(recordsIn(config).length).toBeGreaterThan(0);
    scene.opening.heal();
    await held('restore', config);
  });
});

describe('what is in the place of a key is not overwritten:', () => {
  test('another key of its id on a member', async () => {
    const config = await scene.prepare('restore');
    const { manifest } = await readBackup(scene.file, scene.backup.fingerprint);
    const kek = manifest.keys.find(({ label }) => label === 'kek');
    const value = randomBytes(32).toString('hex');
    importSecretKeys(scene.joining.token, [
      { id: kek?.id ?? '', label: 'kek', type: 'CKK_AES', value, usage: ['ENCRYPT'], mechanisms: ['CKM_AES_GCM'] },
    ]);
    await expect(scene.hold('restore', config)).rejects.toMatchObject({
      code: 'ERR_HSM_RECOVERY_REFUSED',
      message: expect.stringContaining('joining has another key of that id'),
    });
    expect(recordsIn(config)).toEqual([]);
    expect(onJoining(kek?.id ?? '')).toHaveLength(1);
  });

  test('one that looks the same, and is not', async () => {
    const config = await scene.prepare('restore');
    const { manifest } = await readBackup(scene.file, scene.backup.fingerprint);
    const kek = manifest.keys.find(({ label }) => label === 'kek');
    const value = randomBytes(32).toString('hex');
    const usage = ['ENCRYPT', 'DECRYPT'] as const;
    importSecretKeys(scene.joining.token, [
      { id: kek?.id ?? '', label: 'kek', type: 'CKK_AES', value, usage, mechanisms: ['CKM_AES_GCM'] },
    ]);
    const outcomes = await scene.hold('restore', config);
    expect(outcomes.find(({ id }) => id === kek?.id)?.error).toMatchObject({ name: 'HsmError' });
    expect(recordsIn(config).some((name) => name.startsWith(kek?.id ?? ''))).toBe(false);
    expect(onJoining(kek?.id ?? '')).toHaveLength(1);
  });

  test('a keyring that was changed does not bring another key to a member that joins', async () => {
    const config = await scene.prepare('resync');
    const records = recordsIn(config).map((name) => {
      const path = join(keyringOf(config), name);
      return { path, record: JSON.parse(readFileSync(path, 'utf8')) as KeyringRecord };
    });
    const [signer, other] = records.filter(({ record }) => record.algorithm === 'ec-p256');
    const { spki, recovery } = other.record;
    writeFileSync(signer.path, JSON.stringify({ ...signer.record, spki, recovery }));
    const outcomes = await scene.hold('resync', config).catch((error: Error) => error);
    // The member that holds it says that it is another.
    if (outcomes instanceof Error) expect(outcomes).toMatchObject({ code: 'ERR_HSM_RECOVERY_REFUSED' });
    else expect(outcomes.find(({ id }) => id === signer.record.id)?.error).toBeDefined();
    expect(onJoining(signer.record.id)).toEqual([]);
  });
});

describe('a backup that cannot be made', () => {
  const home = () => scene.fleet.config(['home']);
  const listed = () =>
    scene.fleet.opened(async (hsm) => (await hsm.custody.backups()).map(({ number }) => number), home());

  test('is not there, and is not listed: a full disk', async () => {
    const before = await listed();
    const directory = join(scene.fleet.directory, 'full');
    mkdirSync(directory);
    const script = `
      import { writeBackup } from '${new URL('../../libs/hsm/dist/keyring/backup/backup-storage.js', import.meta.url).pathname}';
      await writeBackup(process.argv[1], Buffer.alloc(100_000)).catch(({ code }) => console.log(code));`;
    const limited = [
      '--fsize=50000',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
      join(directory, 'x.backup'),
    ];
    expect(execFileSync('prlimit', limited, { encoding: 'utf8' })).toBe('ERR_HSM_BACKUP_REFUSED\n');
    expect(readdirSync(directory)).toEqual([]);
    // A directory that cannot be written to; and a file that is there.
    for (const path of [join(directory, 'nowhere', 'x.backup'), scene.file]) {
      const made = scene.fleet.opened((hsm) => hsm.custody.createBackup(path), home());
      await expect(made).rejects.toMatchObject({ code: 'ERR_HSM_BACKUP_REFUSED' });
    }
    expect(await listed()).toEqual(before);
    await expect(readBackup(scene.file, scene.backup.fingerprint)).resolves.toMatchObject({
      sha256: scene.backup.sha256,
    });
  });

  test('is at most listed: killed -9 at any moment', async () => {
    const script = new URL('ceremony-holder.mjs', import.meta.url).pathname;
    for (const lifeMilliseconds of [400, 700, 1_000, 1_500, 2_500]) {
      const file = join(scene.fleet.directory, `killed-${lifeMilliseconds}.backup`);
      const input = JSON.stringify({ protocol: 'backup', config: home(), file });
      spawnSync(process.execPath, [script, input], { timeout: lifeMilliseconds, killSignal: 'SIGKILL' });
      if (existsSync(file)) await readBackup(file, scene.backup.fingerprint);
    }
    const last = (await listed()).at(-1) ?? 0;
    const next = await scene.fleet.opened(
      (hsm) => hsm.custody.createBackup(join(scene.fleet.directory, 'after.backup')),
      home(),
    );
    expect(next.number).toBe(last + 1);
  });
});
