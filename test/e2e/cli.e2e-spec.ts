import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

let token: TestToken;
let config: string;

beforeEach(() => {
  token = new TestToken('data');
  config = join(token.directory, 'application.yaml');
  // JSON is YAML. What else an application's file holds is no concern of the command line.
  writeFileSync(
    config,
    JSON.stringify({ listen: { port: 1 }, hsm: token.config({ auditFile: join(token.directory, 'audit.jsonl') }) }),
  );
});

afterEach(() => token.remove());

const nestHsm = (...args: string[]): Promise<Outcome> =>
  runProcess(process.execPath, ['dist/apps/cli/main.js', ...args]);
const onToken = (...args: string[]): Promise<Outcome> => nestHsm(...args, '--config', config);
const generated = async (...args: string[]): Promise<Record<string, string>> => {
  const { code, stdout, stderr } = await onToken('key', 'generate', ...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Record<string, string>;
};

describe('nest-hsm', () => {
  it('says what the token is and can do', async () => {
    const { code, stdout } = await onToken('token', 'info');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^label +data$/m);
    expect(stdout).toMatch(/^vendor +softhsm$/m);
    expect(stdout).toMatch(/^mechanisms +.*aes-256.*ecdsa-sha256/m);
    const asJson = JSON.parse((await onToken('token', 'info', '--json')).stdout) as {
      label: string;
      mechanisms: string[];
    };
    expect(asJson.label).toBe('data');
    expect(asJson.mechanisms).toContain('aes-256');
  });

  it('makes keys, lists them in the order of their labels, and shows public halves that openssl reads', async () => {
    const pair = await generated('signer', '--algorithm', 'ec-p256');
    const kek = await generated('kek', '--algorithm', 'aes-256');
    expect([pair.usage, kek.usage]).toEqual(['sign', 'encrypt']);
    expect(pair.uri).toMatch(/^pkcs11:token=data;object=signer;id=(%[0-9A-F]{2}){16};type=private$/);

    const { stdout } = await onToken('key', 'list');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ +/)),
    ).toEqual([
      ['LABEL', 'ALGORITHM', 'USAGE', 'ID'],
      ['kek', 'aes-256', 'encrypt', kek.id],
      ['signer', 'ec-p256', 'sign', pair.id],
    ]);
    const listed = JSON.parse((await onToken('key', 'list', '--json')).stdout) as unknown;
    expect(listed).toEqual([kek, pair]);

    const pem = (await onToken('key', 'show', 'signer')).stdout;
    expect((await onToken('key', 'show', pair.uri)).stdout).toBe(pem);
    const read = execFileSync('openssl', ['pkey', '-pubin', '-noout', '-text'], { input: pem, encoding: 'utf8' });
    expect(read).toMatch(/prime256v1/);
    expect(createPublicKey(pem).equals(createPublicKey(pair.publicKey))).toBe(true);
  });

  it('destroys a key only once its label has been given again', async () => {
    await generated('kek', '--algorithm', 'aes-256');
    for (const confirmation of [[], ['--confirm', 'other']]) {
      const outcome = await onToken('key', 'destroy', 'kek', ...confirmation);
      expect(outcome).toMatchObject({ code: 1, stdout: '' });
      expect(outcome.stderr).toMatch(/^nest-hsm: ERR_CLI_NOT_CONFIRMED: .*nothing was destroyed\n$/);
    }
    expect((await onToken('key', 'list')).stdout).toMatch(/^kek /m);
    const { code, stdout } = await onToken('key', 'destroy', 'kek', '--confirm', 'kek');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^destroyed pkcs11:.*object=kek.* \(1 objects?\)\n$/),
    });
    expect((await onToken('key', 'list')).stdout).not.toMatch(/kek/);
  });

  it('is named in the audit lines', async () => {
    await generated('kek', '--algorithm', 'aes-256');
    const lines = readFileSync(join(token.directory, 'audit.jsonl'), 'utf8').trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { client: string; operation: string });
    expect(events.every(({ client }) => client === 'nest-hsm')).toBe(true);
    expect(events.map(({ operation }) => operation)).toContain('generate');
  });
});

describe('a fault is one line with its code on standard error, and exit code 1', () => {
  const unusable = (change: Parameters<TestToken['config']>[0]) => {
    writeFileSync(config, JSON.stringify({ hsm: token.config(change) }));
  };

  it.each<[string, string, () => string[] | Promise<string[]>]>([
    ['no such key', 'ERR_HSM_KEY_NOT_FOUND', () => ['key', 'show', 'nosuch']],
    ['not a key URI', 'ERR_HSM_ARGUMENT_INVALID', () => ['key', 'show', 'pkcs11:nonsense']],
    [
      'a secret key has no public half',
      'ERR_CLI_ARGUMENT',
      async () => (await generated('kek', '-a', 'aes-256'), ['key', 'show', 'kek']),
    ],
    [
      'a label that is taken',
      'ERR_CLI_ARGUMENT',
      async () => (await generated('kek', '-a', 'aes-256'), ['key', 'generate', 'kek', '-a', 'aes-256']),
    ],
    ['an unknown algorithm', 'ERR_CLI_ARGUMENT', () => ['key', 'generate', 'k', '--algorithm', 'des']],
    [
      'a usage that does not fit',
      'ERR_CLI_ARGUMENT',
      () => ['key', 'generate', 'k', '-a', 'aes-256', '--usage', 'sign'],
    ],
    ['an unknown noun', 'ERR_CLI_ARGUMENT', () => ['bogus']],
    ['no such token', 'ERR_HSM_TOKEN_NOT_FOUND', () => (unusable({ token: { label: 'nosuch' } }), ['token', 'info'])],
    ['no such module', 'ERR_HSM_MODULE_UNUSABLE', () => (unusable({ module: '/nowhere.so' }), ['token', 'info'])],
    [
      'a PIN file that is not there',
      'ERR_HSM_PIN_SOURCE',
      () => (unusable({ pin: { file: '/nowhere' } }), ['token', 'info']),
    ],
  ])('%s: %s', async (_, code, prepare) => {
    const args = await prepare();
    const onlyRoot = args[0] === 'bogus';
    const outcome = await (onlyRoot ? nestHsm(...args) : onToken(...args));
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(new RegExp(`^nest-hsm: ${code}: .+\\n$`));
  });

  it.each([
    ['no such file', undefined, /ENOENT/],
    ['not YAML', '{', /want a YAML file/],
    ['no hsm section', 'listen: {}', /hsm/],
    ['faults in the hsm section, all of them', 'hsm: { name: Data, module: "" }', /name.*module.*token/],
  ])('a configuration with %s', async (_, content, message) => {
    const file = content === undefined ? '/nowhere.yaml' : config;
    if (content !== undefined) writeFileSync(config, content);
    const outcome = await nestHsm('token', 'info', '--config', file);
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/^nest-hsm: ERR_CLI_CONFIG: .+\n$/);
    expect(outcome.stderr).toMatch(message);
  });

  it('help, when a noun is not told what to do', async () => {
    const outcome = await nestHsm('key');
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/^Usage: nest-hsm/);
  });

  it('with --json a document', async () => {
    const { stderr } = await onToken('key', 'show', 'nosuch', '--json');
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'ERR_HSM_KEY_NOT_FOUND', message: expect.stringContaining('nosuch') },
    });
  });

  it('a wrong PIN is tried once', async () => {
    writeFileSync(token.pinFile, 'not-the-pin', { mode: 0o600 });
    const first = await onToken('token', 'info');
    expect(first.stderr).toMatch(/^nest-hsm: ERR_HSM_PIN_INCORRECT: /);
    expect((await onToken('token', 'info')).stderr).toMatch(/^nest-hsm: ERR_HSM_PIN_REFUSED_EARLIER: /);
    expect(`${first.stdout}${first.stderr}`).not.toContain('not-the-pin');
  });
});
