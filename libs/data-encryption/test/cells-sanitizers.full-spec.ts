import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SanitizedAddon } from '../../../test/support/sanitized-addon.js';

const driver = fileURLToPath(new URL('cells-driver.mjs', import.meta.url));
const linux = process.platform === 'linux' ? describe : describe.skip;

/** What the driver reports when all is well; its comments say what each of these is. */
const sound = {
  same: 60,
  indexed: 60,
  refused: 0,
  thrown: Array.from({ length: 18 }, () => 'TypeError'),
  reentrant: 'from within',
  detached: 'whole',
};

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  let addon: SanitizedAddon;

  beforeAll(() => {
    addon = new SanitizedAddon('data-encryption');
  }, 300_000);
  afterAll(() => addon.remove());

  it('is what the sanitizers watch', () => {
    expect(addon.missingSymbols()).toEqual([]);
  });

  it('does nothing undefined through batches, texts of indexes, damaged cells, misuse and a worker that ends', async () => {
    const child = fork(driver, [], {
      env: { ...process.env, NODE_OPTIONS: '', ...addon.environment() },
      execArgv: [],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    let stderr = '';
    let report: unknown;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('message', (message) => (report = message));
    const [code] = (await once(child, 'close')) as [number | null];
    expect({ report, code, stderr }).toEqual({ report: { here: sound, inWorker: sound }, code: 0, stderr: '' });
  }, 300_000);
});
