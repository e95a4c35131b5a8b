import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { auditRecords } from '../support/audit-records.js';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

/** An application of the test's own, with a token, so that a few tests can run at once: a command is mostly loading code. */
class Application {
  readonly token = new TestToken('data');
  readonly config = join(this.token.directory, 'application.yaml');
  readonly audit = { directory: join(this.token.directory, 'audit') };

  constructor() {
    this.configure({ audit: this.audit });
  }

  /** Writes the file anew. JSON is YAML, and what else it holds is no concern of the command line. */
  configure(overrides: Parameters<TestToken['config']>[0]): void {
    writeFileSync(this.config, JSON.stringify({ listen: { port: 1 }, hsm: this.token.config(overrides) }));
  }

  nestHsm(...args: string[]): Promise<Outcome> {
    return nestHsm(...args, '--config', this.config);
  }

  async generated(...args: string[]): Promise<Record<string, string>> {
    const { code, stdout, stderr } = await this.nestHsm('key', 'generate', ...args, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as Record<string, string>;
  }
}

const nestHsm = (...args: string[]): Promise<Outcome> =>
  runProcess(process.execPath, ['dist/apps/cli/main.js', ...args]);

const withApplication =
  <Arguments extends unknown[]>(test: (application: Application, ...args: Arguments) => Promise<void>) =>
  async (...args: Arguments): Promise<void> => {
    const application = new Application();
    try {
      await test(application, ...args);
    } finally {
      application.token.remove();
    }
  };

describe('nest-hsm', () => {
  it.concurrent(
    'says what the token is and can do',
    withApplication(async (application) => {
      const { code, stdout } = await application.nestHsm('token', 'info');
      expect(code).toBe(0);
      expect(stdout).toMatch(/^label +data$/m);
      expect(stdout).toMatch(/^vendor +softhsm$/m);
      expect(stdout).toMatch(/^mechanisms +.*aes-256.*ecdsa-sha256/m);
      const asJson: unknown = JSON.parse((await application.nestHsm('token', 'info', '--json')).stdout);
      const mechanisms = expect.arrayContaining(['aes-256']);
      expect(asJson).toMatchObject([{ member: 'data', state: 'serving', label: 'data', mechanisms }]);
    }),
  );

  it.concurrent(
    'makes the key by which a member takes in others once, and prints its fingerprint',
    withApplication(async (application) => {
      const first = await application.nestHsm('fleet', 'enrol');
      expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
      const [, fingerprint] = /^data +([0-9a-f]{64})$/m.exec(first.stdout) ?? [];
      const again = await application.nestHsm('fleet', 'enrol', '--json');
      expect(JSON.parse(again.stdout)).toEqual([{ member: 'data', fingerprint }]);
    }),
  );

  it.concurrent(
    'tells it again and again for as long as somebody reads it',
    withApplication(async ({ config }) => {
      const watch = `'${process.execPath}' dist/apps/cli/main.js fleet status --watch -c '${config}'`;
      const piped = await runProcess('bash', ['-c', `${watch} | head -n 3; exit \${PIPESTATUS[0]}`]);
      expect(piped).toMatchObject({ code: 0, stderr: '' });
      const [head, ...rows] = piped.stdout.trimEnd().split('\n');
      expect([head, rows[1]]).toEqual([expect.stringMatching(/^MEMBER +STATE /), head]);
    }),
  );

  (existsSync('/dev/full') ? it.concurrent : it.skip)(
    'does what it was asked for though the disk is full that its answer and its log go to, and ends with 1',
    withApplication(async ({ config }) => {
      const making = `'${process.execPath}' dist/apps/cli/main.js key generate signer -a ec-p256 -c '${config}'`;
      const listing = `'${process.execPath}' dist/apps/cli/main.js audit search '${join(config, '../audit')}'`;
      const lost = { code: 1, stderr: 'nest-hsm: ERR_CLI_OUTPUT: standard output: want to write to it, got ENOSPC\n' };
      expect(await runProcess('bash', ['-c', `${making} > /dev/full`])).toMatchObject(lost);
      expect(await runProcess('bash', ['-c', `${listing} > /dev/full`])).toMatchObject(lost);
      const again = await runProcess('bash', ['-c', `${making} 2> /dev/full`]);
      expect(again).toMatchObject({ code: 1, stdout: '', stderr: '' });
      const generations = (await auditRecords(join(config, '../audit'))).filter(
        ({ operation }) => operation === 'generate',
      );
      expect(generations.filter(({ kind }) => kind === 'result')).toMatchObject([{ result: 'ok' }]);
    }),
  );

  it.concurrent(
    'says which members of a fleet serve, and which do not and why',
    withApplication(async (application) => {
      const all = await application.nestHsm('fleet', 'status');
      expect(all).toMatchObject({ code: 0, stdout: expect.stringMatching(/^data +serving +data +[0-9a-f]{16} /m) });
      const { members, ...fleet } = application.token.config();
      const gone = application.token.member({ name: 'gone', token: { label: 'gone' } });
      application.configure({ ...fleet, members: [...members, gone] });
      const one = await application.nestHsm('fleet', 'status', '--json');
      expect(one.code).toBe(1);
      expect(JSON.parse(one.stdout)).toMatchObject([
        { name: 'data', state: 'serving' },
        { name: 'gone', state: 'starting', trouble: { code: 'ERR_HSM_TOKEN_NOT_FOUND' } },
      ]);
    }),
  );

  it.concurrent(
    'makes keys under its name, lists them in the order of their labels, and shows public halves that openssl reads',
    withApplication(async (application) => {
      const pair = await application.generated('signer', '--algorithm', 'ec-p256');
      const kek = await application.generated('kek', '--algorithm', 'aes-256');
      expect([pair.usage, kek.usage]).toEqual(['sign', 'encrypt']);
      expect(pair.uri).toMatch(/^pkcs11:token=data;object=signer;id=(%[0-9A-F]{2}){16};type=private$/);

      const { stdout } = await application.nestHsm('key', 'list');
      expect(
        stdout
          .trimEnd()
          .split('\n')
          .map((line) => line.split(/ +/)),
      ).toEqual([
        ['LABEL', 'VERSION', 'ALGORITHM', 'USAGE', 'AGE', 'DUE', 'ID'],
        ['kek', '1', 'aes-256', 'encrypt', '0d', '-', kek.id],
        ['signer', '1', 'ec-p256', 'sign', '0d', '-', pair.id],
      ]);
      const listed = JSON.parse((await application.nestHsm('key', 'list', '--json')).stdout) as unknown;
      expect(listed).toEqual([kek, pair].map((each) => ({ ...each, ageDays: 0, isDue: false })));

      const pem = (await application.nestHsm('key', 'show', 'signer')).stdout;
      expect((await application.nestHsm('key', 'show', pair.uri)).stdout).toBe(pem);
      const read = execFileSync('openssl', ['pkey', '-pubin', '-noout', '-text'], { input: pem, encoding: 'utf8' });
      expect(read).toMatch(/prime256v1/);
      expect(createPublicKey(pem).equals(createPublicKey(pair.publicKey))).toBe(true);

      const events = (await auditRecords(application.audit.directory)).filter(({ kind }) => kind === 'result');
      expect(events.every(({ client }) => client === 'nest-hsm')).toBe(true);
      expect(events.map(({ operation }) => operation)).toContain('generate');
    }),
  );

  it.concurrent(
    'destroys a key only once its label has been given again',
    withApplication(async (application) => {
      await application.generated('kek', '--algorithm', 'aes-256');
      for (const confirmation of [[], ['--confirm', 'other']]) {
        const outcome = await application.nestHsm('key', 'destroy', 'kek', ...confirmation);
        expect(outcome).toMatchObject({ code: 1, stdout: '' });
        expect(outcome.stderr).toMatch(/^nest-hsm: ERR_CLI_NOT_CONFIRMED: .*nothing was destroyed\n$/);
      }
      expect((await application.nestHsm('key', 'list')).stdout).toMatch(/^kek /m);
      const directory = join(application.token.directory, 'receipt');
      // As an attempt leaves it that failed.
      mkdirSync(directory);
      const options = ['--confirm', 'kek', '--receipt', directory, '--operator', 'Ada'];
      const { code, stdout } = await application.nestHsm('key', 'destroy', 'kek', ...options);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(/^destroyed pkcs11:.*object=kek.* \(1 object\)\n {2}data: destroyed, 1 found\n/),
      });
      const [json, sig, pem] = ['receipt.json', 'receipt.sig', 'key.pem'].map((name) => join(directory, name));
      writeFileSync(pem, (await application.nestHsm('receipt', 'key')).stdout);
      const args = ['dgst', '-sha256', '-verify', pem, '-signature', sig, json];
      expect(execFileSync('openssl', args, { encoding: 'utf8' })).toBe('Verified OK\n');
      const verified = await nestHsm('receipt', 'verify', json, '--key', pem);
      expect(verified).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^destroyed [0-9a-f]{32} \(1 object\)/),
      });
    }),
  );
});

describe('a fault is one line with its code on standard error, and exit code 1', () => {
  it.concurrent.each<[string, string, (application: Application) => string[]]>([
    ['no such key', 'ERR_HSM_KEY_NOT_FOUND', () => ['key', 'show', 'nosuch']],
    ['not a key URI', 'ERR_HSM_ARGUMENT_INVALID', () => ['key', 'show', 'pkcs11:nonsense']],
    ['an unknown algorithm', 'ERR_CLI_ARGUMENT', () => ['key', 'generate', 'k', '--algorithm', 'des']],
    [
      'a usage that does not fit',
      'ERR_CLI_ARGUMENT',
      () => ['key', 'generate', 'k', '-a', 'aes-256', '--usage', 'sign'],
    ],
    ['an unknown noun', 'ERR_CLI_ARGUMENT', () => ['bogus']],
    ['what would drive a terminal', 'ERR_CLI_ARGUMENT', () => ['key', 'list', '--nosuch\u001b[2J\u202e']],
    [
      'no such token',
      'ERR_HSM_TOKEN_NOT_FOUND',
      (application) => (application.configure({ token: { label: 'nosuch' } }), ['token', 'info']),
    ],
    [
      'no such module',
      'ERR_HSM_MODULE_UNUSABLE',
      (application) => (application.configure({ module: '/nowhere.so' }), ['token', 'info']),
    ],
    [
      'a PIN file that is not there',
      'ERR_HSM_PIN_SOURCE',
      (application) => (application.configure({ pin: { file: '/nowhere' } }), ['token', 'info']),
    ],
  ])(
    '%s: %s',
    withApplication(async (application, _, code, prepare) => {
      const args = prepare(application);
      const onlyRoot = args[0] === 'bogus';
      expectFault(await (onlyRoot ? nestHsm(...args) : application.nestHsm(...args)), code);
    }),
  );

  it.concurrent(
    'what does not fit the key that is there: ERR_CLI_ARGUMENT',
    withApplication(async (application) => {
      await application.generated('kek', '-a', 'aes-256');
      const publicHalfOfSecret = ['key', 'show', 'kek'];
      const labelThatIsTaken = ['key', 'generate', 'kek', '-a', 'aes-256'];
      for (const args of [publicHalfOfSecret, labelThatIsTaken])
        expectFault(await application.nestHsm(...args), 'ERR_CLI_ARGUMENT');
    }),
  );

  function expectFault(outcome: Outcome, code: string): void {
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(new RegExp(`^nest-hsm: ${code}: \\P{C}+\\n$`, 'u'));
  }

  it.concurrent.each<[string, string | undefined, RegExp]>([
    ['no such file', undefined, /ENOENT/],
    ['not YAML', '{', /want a YAML file/],
    ['no hsm section', 'listen: {}', /hsm/],
    ['faults in the hsm section, all of them', 'hsm: { name: Data, members: [{ module: "" }] }', /name.*module.*token/],
  ])(
    'a configuration with %s',
    withApplication(async (application, _, content, message) => {
      const file = content === undefined ? '/nowhere.yaml' : application.config;
      if (content !== undefined) writeFileSync(application.config, content);
      const outcome = await nestHsm('token', 'info', '--config', file);
      expect(outcome).toMatchObject({ code: 1, stdout: '' });
      expect(outcome.stderr).toMatch(/^nest-hsm: ERR_CLI_CONFIG: .+\n$/);
      expect(outcome.stderr).toMatch(message);
    }),
  );

  it.concurrent('help, when a noun is not told what to do', async () => {
    const outcome = await nestHsm('key');
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/^Usage: nest-hsm/);
  });

  it.concurrent(
    'with --json a document',
    withApplication(async (application) => {
      const { stderr } = await application.nestHsm('key', 'show', 'nosuch', '--json');
      expect(JSON.parse(stderr)).toEqual({
        error: { code: 'ERR_HSM_KEY_NOT_FOUND', message: expect.stringContaining('nosuch') },
      });
    }),
  );

  it.concurrent(
    'a wrong PIN is tried once',
    withApplication(async (application) => {
      writeFileSync(application.token.pinFile, 'not-the-pin', { mode: 0o600 });
      const first = await application.nestHsm('token', 'info');
      expect(first.stderr).toMatch(/^nest-hsm: ERR_HSM_PIN_INCORRECT: /);
      expect((await application.nestHsm('token', 'info')).stderr).toMatch(/^nest-hsm: ERR_HSM_PIN_REFUSED_EARLIER: /);
      expect(`${first.stdout}${first.stderr}`).not.toContain('not-the-pin');
    }),
  );
});
