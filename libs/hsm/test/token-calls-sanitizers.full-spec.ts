import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { driveTokenCalls, soundReport } from './drive-token-calls.js';

const buildScript = fileURLToPath(new URL('../../../scripts/build-native.mjs', import.meta.url));
const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sanitized-'));
  const binaries = join(directory, 'package/prebuilds', `${process.platform}-${process.arch}`);
  let environment: NodeJS.ProcessEnv;

  beforeAll(() => {
    execFileSync(process.execPath, [buildScript, '--sanitize', 'hsm', join(directory, 'package')], { stdio: 'pipe' });
    environment = {
      // Where node-gyp-build looks instead.
      '@NEST_HSM/HSM_PREBUILD': join(directory, 'package'),
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

  it('does nothing undefined through calls, faults, a frozen token and the end of a thread', async () => {
    expect(await driveTokenCalls('calls', environment)).toEqual({ report: soundReport, code: 0, stderr: '' });
  }, 300_000);

  it('does nothing undefined when its process ends', async () => {
    expect(await driveTokenCalls('exit', environment)).toEqual({ report: undefined, code: 7, stderr: '' });
  }, 300_000);
});
