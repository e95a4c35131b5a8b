/** The ceremonies of docs/KEYS.md, as they are typed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HsmConfig } from '@nest-hsm/hsm';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-cli-recovery-'));
const path = (name: string) => join(directory, name);
const tokens = {
  a: new TestToken('ca-a'),
  b: new TestToken('ca-b'),
  new: new TestToken('ca-new'),
  recovery: new TestToken('recovery'),
};
afterAll(() => {
  for (const token of Object.values(tokens)) token.remove();
  rmSync(directory, { recursive: true });
});

const nestHsm = (...args: string[]): Promise<Outcome> =>
  runProcess(process.execPath, ['dist/apps/cli/main.js', ...args]);
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await nestHsm(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}
const write = (name: string, hsm: HsmConfig): string => {
  writeFileSync(path(name), JSON.stringify({ hsm }));
  return path(name);
};
const rows = (stdout: string, label: string) => stdout.split('\n').filter((line) => line.startsWith(`${label} `));

test("from an empty recovery token to a fleet that lives on another vendor's token", async () => {
  const recovery = write('recovery.yaml', tokens.recovery.config());
  const shown = await done('recovery', 'init', '-c', recovery);
  const recoveryKey = JSON.parse(await done('recovery', 'init', '-c', recovery, '--json')) as {
    publicKey: string;
    algorithm: 'rsa-oaep-sha1';
    fingerprint: string;
  };
  expect(shown).toContain(recoveryKey.publicKey);
  expect(shown).toContain(`fingerprint  ${recoveryKey.fingerprint}`);

  const { publicKey, algorithm } = recoveryKey;
  const fleet = (name: string, members: HsmConfig['members'], keyring = name): HsmConfig => ({
    ...{ name, members, stateDirectory: path(`${name}-state`), quorum: 1 },
    replication: { mode: 'wrapped', keyring: path(`${keyring}-keyring`), recoveryKeys: [{ publicKey, algorithm }] },
  });
  const enrolled = async (name: string, members: HsmConfig['members'], keyring = name): Promise<string> => {
    const file = write(`${keyring}.yaml`, fleet(name, members, keyring));
    const pins = JSON.parse(await done('fleet', 'enrol', '-c', file, '--json')) as {
      member: string;
      fingerprint: string;
    }[];
    const pinned = members.map((member) => {
      return { ...member, fingerprint: pins.find((pin) => pin.member === member.name)?.fingerprint };
    });
    return write(`${keyring}.yaml`, fleet(name, pinned, keyring));
  };

  // A fleet of one makes its keys, and grows.
  const ca = await enrolled('ca', [tokens.a.member({ name: 'a' })]);
  await done('key', 'generate', 'root', '-a', 'ec-p384', '-c', ca);
  await done('key', 'generate', 'kek', '-a', 'aes-256', '-c', ca);
  const grown = await enrolled('ca', [tokens.a.member({ name: 'a' }), tokens.b.member({ name: 'b' })]);
  const planned = await done('fleet', 'resync', '-c', grown, '-r', recovery, '--plan');
  expect(rows(planned, 'root')[0]).toMatch(/^root +ec-p384 +[0-9a-f]{32} +give +b +a$/);
  expect(rows(await done('key', 'list', '-c', grown), 'root')[0]).toMatch(/ a$/);
  const unconfirmed = await nestHsm('fleet', 'resync', '-c', grown, '-r', recovery);
  expect(unconfirmed).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^nest-hsm: ERR_CLI_NOT_CONFIRMED: .*nothing was done\n$/),
  });
  expect(rows(await done('fleet', 'resync', '-c', grown, '-r', recovery, '--yes'), 'root')[1]).toMatch(
    /^root +[0-9a-f]{32} +a b$/,
  );

  // Its backup.
  const created = await done('backup', 'create', '-c', grown, '-o', path('ca.backup'));
  const pem = /-----BEGIN PUBLIC KEY-----[^]*-----END PUBLIC KEY-----\n/.exec(created)?.[0] ?? '';
  writeFileSync(path('backup.pem'), pem);
  expect(created).toMatch(/^backup 1 of 3 keys in /);
  expect(await done('backup', 'verify', path('ca.backup'), '--key', path('backup.pem'))).toMatch(
    /^backup 1 of "ca", .*: whole, and signed by that key$/m,
  );
  const [, signer] = /^signed by +([0-9a-f]{64})$/m.exec(created) ?? [];
  await done('backup', 'verify', path('ca.backup'), '--fingerprint', signer);
  for (const wrong of [['--fingerprint', 'ab'.repeat(32)], ['--key', path('ca.yaml')], []]) {
    expect(await nestHsm('backup', 'verify', path('ca.backup'), ...wrong)).toMatchObject({ code: 1, stdout: '' });
  }
  writeFileSync(path('ca.state'), await done('backup', 'state', '-c', grown));
  expect(rows(await done('backup', 'list', '-c', grown), '1')[0]).toMatch(/^1 +20.*Z +3 +[0-9a-f]{64}$/);

  // Everything is lost but the backup, its public key, the state and the recovery token.
  tokens.a.remove();
  tokens.b.remove();
  const rebuilt = await enrolled('ca', [tokens.new.member({ name: 'n' })], 'rebuilt');
  const restore = [
    'backup',
    'restore',
    path('ca.backup'),
    '--key',
    path('backup.pem'),
    '-c',
    rebuilt,
    '-r',
    recovery,
    '--state',
    path('ca.state'),
  ];
  const damaged = path('damaged.backup');
  writeFileSync(damaged, readFileSync(path('ca.backup')).subarray(0, -200));
  const refused = await nestHsm('backup', 'restore', damaged, ...restore.slice(3), '--yes');
  expect(refused).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^nest-hsm: ERR_HSM_BACKUP_INVALID: /),
  });
  expect(rows(await done(...restore, '--plan'), 'kek')[0]).toMatch(/ give +n$/);
  expect(await done('key', 'list', '-c', rebuilt)).not.toMatch(/^kek /m);
  expect(rows(await done(...restore, '--yes'), 'kek')[1]).toMatch(/^kek +[0-9a-f]{32} +n$/);
  expect(rows(await done('key', 'list', '-c', rebuilt), 'root')).toHaveLength(1);

  // And on to another fleet.
  const other = new TestToken('other-vendor');
  try {
    const next = await enrolled('next', [other.member({ name: 'o' })]);
    const move = ['migrate', '--from', rebuilt, '--to', next, '-r', recovery];
    const dry = JSON.parse(await done(...move, '--dry-run', '--json')) as { plan: { label: string; action: string }[] };
    expect(Object.fromEntries(dry.plan.map(({ label, action }) => [label, action]))).toEqual({
      root: 'give',
      kek: 'give',
      'nest-hsm-backup': 'none',
    });
    await done(...move, '--yes');
    expect(rows(await done('key', 'list', '-c', next), 'kek')[0]).toMatch(/ [0-9a-f]{32}$/);
    expect(await nestHsm('backup', 'retire', '5', '-c', rebuilt)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^left of the backups that are known here: none\n.*ERR_CLI_NOT_CONFIRMED/),
    });
    const retired = await done('backup', 'retire', '5', '-c', rebuilt, '--yes');
    expect(retired).toBe('backups before number 5 are refused\n');
    expect(await nestHsm(...restore, '--yes')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/ERR_HSM_BACKUP_REFUSED/),
    });
    const vendor = write('vendor.yaml', other.config());
    expect(await nestHsm('backup', 'list', '-c', vendor)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/want replication.mode "wrapped"/),
    });
  } finally {
    other.remove();
  }
}, 900_000);
