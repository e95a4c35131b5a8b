import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const buildScript = fileURLToPath(new URL('../../../../scripts/build-native.mjs', import.meta.url));
const driver = fileURLToPath(new URL('../../test/cells-driver.mjs', import.meta.url));
const linux = process.platform === 'linux' ? describe : describe.skip;

/** What the driver reports when all is well; its comments say what each of these is. */
const sound = {
  same: 60,
  refused: 0,
  thrown: Array.from({ length: 12 }, () => 'TypeError'),
  reentrant: 'from within',
  detached: 'whole',
};

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sanitized-'));
  const binaries = join(directory, 'package/prebuilds', `${process.platform}-${process.arch}`);
  let environment: NodeJS.ProcessEnv;

  beforeAll(() => {
    const build = [buildScript, '--sanitize', 'data-encryption', join(directory, 'package')];
    execFileSync(process.execPath, build, { stdio: 'pipe' });
    environment = {
      // Where node-gyp-build looks instead.
      '@NEST_HSM/DATA_ENCRYPTION_PREBUILD': join(directory, 'package'),
      LD_PRELOAD: execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
      // Node itself is not built for leak detection.
      ASAN_OPTIONS: 'detect_leaks=0:halt_on_error=1:abort_on_error=0',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    };
  }, 300_000);
  afterAll(() => rmSync(directory, { recursive: true }));

  it('is what the sanitizers watch', () => {
    const [name, ...others] = readdirSync(binaries);
    expect(others).toEqual([]);
    const symbols = readFileSync(join(binaries, name));
    for (const symbol of ['__asan_report_store', '__ubsan_handle_']) {
      expect([symbol, symbols.includes(symbol)]).toEqual([symbol, true]);
    }
  });

  it('does nothing undefined through batches, damaged cells, misuse and a worker that ends', async () => {
    const child = fork(driver, [], {
      env: { ...process.env, NODE_OPTIONS: '', ...environment },
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
