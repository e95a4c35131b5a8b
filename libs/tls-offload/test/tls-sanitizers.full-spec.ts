import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drive, newTask } from './drive.js';

const buildScript = fileURLToPath(new URL('../../../scripts/build-native.mjs', import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sanitized-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('does nothing undefined through handshakes, hostile bytes and clients that leave', async () => {
    const build = [buildScript, '--sanitize', 'tls-offload', join(directory, 'package')];
    execFileSync(process.execPath, build, { stdio: 'pipe' });
    const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
    const report = await drive(newTask(300, 60), {
      env: {
        // Where node-gyp-build looks first.
        '@NEST_HSM/TLS_OFFLOAD_PREBUILD': join(directory, 'package'),
        LD_PRELOAD: runtime,
        // Node itself is not built for leak detection; a fibre's stack is not where the sanitizer expects one.
        ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=0:halt_on_error=1:abort_on_error=0',
        UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
      },
    });
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 350 });

    // It was the sanitized binary that ran, and no other beside it.
    const [binary, ...others] = report.sharedObjects.filter((path) => path.endsWith('.node'));
    expect([dirname(binary), others]).toEqual([join(directory, 'package/prebuilds', platform), []]);
    const symbols = readFileSync(binary);
    for (const symbol of ['__asan_report_store', '__asan_stack_malloc', '__ubsan_handle_']) {
      expect([symbol, symbols.includes(symbol)]).toEqual([symbol, true]);
    }
    for (const runtimeName of [/libasan\.so/, /libubsan\.so/]) {
      expect(report.sharedObjects).toContainEqual(expect.stringMatching(runtimeName));
    }
  }, 300_000);
});
