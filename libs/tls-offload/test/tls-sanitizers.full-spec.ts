import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drive, newTask } from './drive.js';

const buildScript = fileURLToPath(new URL('../../../scripts/build-native.mjs', import.meta.url));
const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-sanitized-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('does nothing undefined through handshakes, hostile bytes and clients that leave', async () => {
    execFileSync(process.execPath, [buildScript, '--sanitize', join(directory, 'package')], { stdio: 'pipe' });
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
  }, 300_000);
});
