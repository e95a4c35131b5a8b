/** The command line rotates, audits and refuses forged receipts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

let token: TestToken;
let file: string;
beforeAll(() => {
  token = new TestToken('data');
  file = join(token.directory, 'application.yaml');
  const rotation = [{ label: 'sign*', maximumAgeDays: 30 }];
  writeFileSync(file, JSON.stringify({ hsm: token.config({ rotation }) }));
});
afterAll(() => token.remove());

const run = (...args: string[]): Promise<Outcome> => runProcess(process.execPath, ['dist/apps/cli/main.js', ...args]);
const nestHsm = (...args: string[]) => run(...args, '--config', file);

test('a key is rotated, found in its versions, and audited', async () => {
  await nestHsm('key', 'generate', 'signer', '--algorithm', 'ec-p256');
  expect((await nestHsm('key', 'rotate', '--due')).stdout).toBe('no key is due\n');
  expect((await nestHsm('key', 'rotate', 'signer')).stdout).toMatch(/^version 2: pkcs11:.*object=signer/);
  expect((await nestHsm('key', 'rotate')).stderr).toMatch(
    /^nest-hsm: ERR_CLI_ARGUMENT: rotate: want a label, or --due/,
  );
  const { stdout } = await nestHsm('key', 'list');
  expect(stdout).toMatch(/^signer +2 +ec-p256 +sign +0d +30d +[0-9a-f]{32}\nsigner +1 +ec-p256 +sign +0d +- /m);
  const audit = await nestHsm('fleet', 'audit');
  expect(audit).toMatchObject({ code: 0, stdout: expect.stringMatching(/^consistent: 2 keys$/m) });
});

test('a receipt is kept and exported, and one that was altered proves nothing', async () => {
  await nestHsm('key', 'generate', 'doomed', '--algorithm', 'aes-256');
  const destroyed = await nestHsm('key', 'destroy', 'doomed', '--confirm', 'doomed', '--json');
  const { receipt } = JSON.parse(destroyed.stdout) as { receipt: { key: { id: string } } };
  expect((await nestHsm('receipt', 'list')).stdout).toMatch(/^doomed +destroyed +.* yes +[0-9a-f]{32}$/m);
  const directory = join(token.directory, 'receipt');
  await nestHsm('receipt', 'export', receipt.key.id, directory);
  const [json, pem] = ['receipt.json', 'key.pem'].map((name) => join(directory, name));
  writeFileSync(pem, (await nestHsm('receipt', 'key')).stdout);
  expect((await run('receipt', 'verify', json, '--key', pem)).code).toBe(0);
  writeFileSync(json, readFileSync(json, 'utf8').replace('doomed', 'beloved'));
  const forged = await run('receipt', 'verify', json, '--key', pem);
  expect(forged).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/ERR_HSM_RECEIPT_INVALID/) });
});
