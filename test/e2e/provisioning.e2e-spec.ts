import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { changeTokenPin, Hsm, type ProvisioningStep, resetTokenPin, revokeTokenUser } from '@nest-hsm/hsm';
import { BackupRegister } from '../../libs/hsm/src/keyring/backup/backup-register.js';
import { Keyring } from '../../libs/hsm/src/keyring/keyring.js';
import { auditRecords } from '../support/audit-records.js';
import { childrenOf } from '../support/processes.js';
import { Folder, ProvisionedToken } from '../support/provisioned-token.js';
import { softHsmModule } from '../support/token.js';

const page = readFileSync('docs/PROVISIONING.md', 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code);

test('the page shows commands that make a fleet as they stand', async () => {
  const folder = new Folder();
  try {
    const [prepare, init] = blocks('sh');
    const [fleet] = blocks('yaml');
    await folder.sh(prepare);
    writeFileSync(folder.at('fleet.yaml'), fleet.replaceAll('/usr/lib/softhsm/libsofthsm2.so', softHsmModule()));
    const said = await folder.sh(init);
    expect(said).toMatch(/^tls +hsm-b +tls-b +initialise token and set SO PIN$/m);
    expect(said).toMatch(/^hsm-b: make probe key: done$/m);
    expect(said).toMatch(/^tls +hsm-b +tls-b +nothing to do$/m);
    expect(said).toMatch(/^tls +hsm-a +[0-9a-f]{64} +no$/m);
    expect(said).toMatch(/^hsm-b +tls-b +[0-9a-f]{16} +set +set$/m);
    const own = ['nest-hsm-member', 'nest-hsm-member', 'nest-hsm-probe', 'nest-hsm-probe'];
    expect(folder.labels('tls-a', 'tokens/hsm-a', 'pin-a').toSorted()).toEqual(own);
    expect(folder.labels('tls-b', 'tokens/hsm-b', 'pin-b').toSorted()).toEqual(own);

    const pinFiles = ['so-pin', 'pin-a', 'pin-b'];
    const others = readdirSync(folder.path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !pinFiles.includes(entry.name) && !entry.parentPath.includes('tokens'))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    for (const name of pinFiles) {
      expect([name, statSync(folder.at(name)).mode & 0o777]).toEqual([name, 0o600]);
      expect(folder.read(name)).toMatch(/^[0-9a-f]{32}$/);
      expect([said, ...others].filter((text) => text.includes(folder.read(name)))).toEqual([]);
    }
  } finally {
    folder.remove();
  }
});

describe('a token', () => {
  let token: ProvisionedToken;

  afterEach(() => {
    token.remove();
    expect(childrenOf(process.pid)).toEqual([]);
  });

  it('is made ready by running it again, whatever step was the last before the crash', async () => {
    token = new ProvisionedToken();
    const done: ProvisioningStep[] = [];
    for (;;) {
      const provisioner = token.provisioner();
      const plans = await provisioner.plan();
      if (plans[0].steps.length === 0) break;
      const crash = (_: string, step: ProvisioningStep): never => {
        done.push(step);
        throw new Error('killed');
      };
      await expect(provisioner.carryOut(plans, crash)).rejects.toThrow('killed');
    }
    expect(done).toEqual([
      'make SO PIN file',
      'make user PIN file',
      'initialise token and set SO PIN',
      'set user PIN',
      'make probe key',
    ]);
    expect(token.labels()).toEqual(['nest-hsm-probe', 'nest-hsm-probe']);
  });

  it('is not initialised anew while it holds keys, unless they are backed up or given up', async () => {
    token = ProvisionedToken.made();
    const application = await Hsm.open(token.hsm);
    const key = await application.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
    await application.close();
    const keyring = token.folder.at('keyring');
    token.hsm = { ...token.hsm, replication: { mode: 'wrapped', keyring } };
    const plan = (consent = {}) => token.provisioner({ reinitialise: ['only'], ...consent }).plan();

    const refusal = { code: 'ERR_HSM_TOKEN_HOLDS_KEYS', message: expect.stringContaining('--destroy-keys "app"') };
    await expect(plan({ backedUp: ['app'], destroyKeys: ['another'] })).rejects.toMatchObject(refusal);
    const register = new BackupRegister(await Keyring.open(keyring));
    const backup = { created: new Date().toISOString(), sha256: '0'.repeat(64) };
    await register.add({ ...backup, number: 1, keys: [key.id] });
    await expect(plan()).rejects.toThrow(/want --confirm "app", since backup 1 has them all, or --destroy-keys "app"/);
    expect((await plan({ backedUp: ['app'] }))[0].replaces).toMatchObject({ label: 'app' });
    await register.add({ ...backup, number: 2, keys: [] });
    await expect(plan({ backedUp: ['app'] })).rejects.toThrow(/the newest backup has not \("kek"\)/);
    // Without its PIN nobody can say what it holds.
    token.folder.write('pin', 'another');
    await expect(plan({ backedUp: ['app'] })).rejects.toThrow(/may hold keys, and nobody could look/);

    token.folder.write('pin', 'user-pin-1');
    expect(token.labels()).toContain('kek');
    await token.init({ reinitialise: ['only'], destroyKeys: ['app'] });
    expect(token.labels()).not.toContain('kek');
    expect(token.labels()).toContain('nest-hsm-member');
  });

  it('that was lost is not made anew while its fingerprint is pinned', async () => {
    token = new ProvisionedToken();
    token.hsm = { ...token.hsm, members: [{ ...token.hsm.members[0], fingerprint: '0'.repeat(64) }] };
    await expect(token.init()).rejects.toMatchObject({
      code: 'ERR_HSM_TOKEN_NOT_FOUND',
      message: expect.stringContaining('restore it, or start anew with --reinitialise only'),
    });
    const [{ steps }] = await token.provisioner({ reinitialise: ['only'] }).plan();
    expect(steps).toContain('initialise token and set SO PIN');
  });

  it('is not touched for another plan than the confirmed one, nor without leave to make its PIN', async () => {
    token = new ProvisionedToken();
    const [confirmed] = await token.provisioner().plan();
    const fewer = [{ ...confirmed, steps: confirmed.steps.slice(1) }];
    await expect(token.provisioner().carryOut(fewer)).rejects.toMatchObject({ code: 'ERR_HSM_PLAN_OUTDATED' });
    token.provisioning = { ...token.provisioning, userPin: { generate: false } };
    await expect(token.init()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
    expect(readdirSync(token.folder.at('tokens'))).toEqual([]);
  });

  it('gets another PIN while agents are at work, and one that met the old PIN comes back by itself', async () => {
    token = ProvisionedToken.made();
    const application = await Hsm.open(token.hsm);
    const killAgent = (): void => void process.kill(childrenOf(process.pid)[0], 'SIGKILL');
    const patiently = { deadlineMilliseconds: 30_000 };
    try {
      await changeTokenPin(...token.terms, 'only', { who: 'user' });
      await application.random(1);
      killAgent();
      await application.random(1, patiently);

      await revokeTokenUser(...token.terms, 'only');
      await application.random(1);
      killAgent();
      while (application.members[0].state !== 'refused') await pause(20);
      expect((await token.status()).token?.userPin).toMatchObject({
        warnings: ['CKF_USER_PIN_COUNT_LOW'],
        refusedAt: expect.stringMatching(/^\d{4}-/),
      });
      await resetTokenPin(...token.terms, 'only', undefined);
      while (application.members[0].state === 'refused') await pause(20);
      await application.random(1, patiently);
    } finally {
      await application.close();
    }
    expect((await token.status()).token?.userPin).toEqual({ warnings: [] });
  });

  it.each([
    ['before', 'user-pin-2', 'user-pin-1'],
    ['after', 'user-pin-1', 'an older one'],
  ])('gets the PIN that was meant when its change was killed %s it had it', async (_when, meant, current) => {
    token = ProvisionedToken.made();
    token.folder.write('pin', current);
    token.folder.write('pin.new', meant);
    expect(await token.status()).toMatchObject({ isPinChangeUnfinished: true });
    const outcome = await changeTokenPin(...token.terms, 'only', { who: 'user' });
    expect(outcome).toEqual({ members: ['only'], wasInterrupted: true });
    expect(token.folder.read('pin')).toBe(meant);
    expect(await token.status()).toMatchObject({ isPinChangeUnfinished: false, token: { userPin: { warnings: [] } } });
    expect(token.labels()).toEqual([]);
  });

  it('has the old PIN of its security officer kept, which tokens of other roles may have', async () => {
    token = ProvisionedToken.made();
    const change = () => changeTokenPin(...token.terms, 'only', { who: 'security officer' });
    const first = token.folder.read('so-pin');
    const oldPinFile = token.folder.at('so-pin.old');
    expect(await change()).toEqual({ members: ['only'], wasInterrupted: false, oldPinFile });
    const second = token.folder.read('so-pin');
    expect([token.folder.read('so-pin.old'), statSync(oldPinFile).mode & 0o777]).toEqual([first, 0o600]);

    await expect(change()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
    expect([token.folder.read('so-pin'), token.folder.read('so-pin.old')]).toEqual([second, first]);
    expect(readdirSync(token.folder.path)).not.toContain('so-pin.new');

    rmSync(oldPinFile);
    await change();
    expect(token.folder.read('so-pin.old')).toBe(second);
    await revokeTokenUser(...token.terms, 'only');
  });

  it('has what is done to it in its trail, done or refused, and is left alone where that cannot be written', async () => {
    token = new ProvisionedToken();
    const directory = token.folder.at('audit');
    token.hsm = { ...token.hsm, audit: { directory } };
    await token.init();
    await changeTokenPin(...token.terms, 'only', { who: 'security officer' });
    token.folder.write('so-pin', 'wrong');
    await expect(revokeTokenUser(...token.terms, 'only')).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    const done = (await auditRecords(directory)).filter(({ operation = '' }) => /token|pin|user/.test(operation));
    expect(done.map(({ kind, operation, result }) => [kind, operation, result])).toEqual([
      ['intent', 'initialise-token', undefined],
      ['result', 'initialise-token', 'ok'],
      ['intent', 'set-user-pin', undefined],
      ['result', 'set-user-pin', 'ok'],
      ['intent', 'change-so-pin', undefined],
      ['result', 'change-so-pin', 'ok'],
      ['intent', 'revoke-user', undefined],
      ['result', 'revoke-user', 'ERR_HSM_PIN_INCORRECT'],
    ]);
    chmodSync(directory, 0o777);
    const unwritten = changeTokenPin(...token.terms, 'only', { who: 'user' });
    await expect(unwritten).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
    // Or the next change would get the PIN that was meant for this one.
    expect(readdirSync(token.folder.path)).not.toContain('pin.new');
  });

  it('weighs a wrong PIN of its security officer once', async () => {
    token = ProvisionedToken.made();
    token.folder.write('so-pin', 'wrong');
    await expect(revokeTokenUser(...token.terms, 'only')).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    const change = changeTokenPin(...token.terms, 'only', { who: 'security officer' });
    await expect(change).rejects.toMatchObject({ code: 'ERR_HSM_PIN_REFUSED_EARLIER' });
    expect((await token.status()).token?.securityOfficerPin).toMatchObject({ warnings: ['CKF_SO_PIN_COUNT_LOW'] });
    // Nothing was begun, so nothing is left to finish.
    expect(readdirSync(token.folder.path)).not.toContain('so-pin.new');
    expect(token.labels()).toEqual([]);
  });
});
