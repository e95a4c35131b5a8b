import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SanitizedAddon, sanitizerSymbols } from '../../../test/support/sanitized-addon.js';
import { drive, driveForwarding, newForwardingTask, newTask } from './drive.js';

const run = promisify(execFile);
const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  let addon: SanitizedAddon;

  beforeAll(() => {
    addon = new SanitizedAddon('tls-offload');
  }, 300_000);
  afterAll(() => addon.remove());

  it('does nothing undefined through handshakes, hostile bytes and clients that leave', async () => {
    const report = await drive(newTask(300, 60), {
      // A fibre's stack is not where the sanitizer expects one.
      env: addon.environment(':detect_stack_use_after_return=0'),
    });
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, aborted: 350 });

    // It was the sanitized binary that ran, and no other beside it.
    const [binary, ...others] = report.sharedObjects.filter((path) => path.endsWith('.node'));
    expect([dirname(binary), others]).toEqual([addon.directory, []]);
    expect(addon.missingSymbols([...sanitizerSymbols, '__asan_stack_malloc'])).toEqual([]);
    for (const runtimeName of [/libasan\.so/, /libubsan\.so/]) {
      expect(report.sharedObjects).toContainEqual(expect.stringMatching(runtimeName));
    }
  }, 300_000);

  it('does nothing undefined where forwarded connections break in every way', async () => {
    const report = await driveForwarding(newForwardingTask(480, 10), {
      env: addon.environment(':detect_stack_use_after_return=0'),
    });
    expect(report).toMatchObject({ liveSessions: 0, pausedJobs: 0, broken: 600, grownDescriptors: 0 });
    expect(report.sharedObjects).toContainEqual(expect.stringMatching(/libasan\.so/));
  }, 300_000);

  // The specs themselves: jest in a process of its own, whose addon is the sanitized one.
  it.each(['client-auth', 'connector/connector', 'tickets', 'stapling', 'terminator'])(
    'does nothing undefined in what %s.spec.ts asks of it',
    async (name) => {
      const spec = `libs/tls-offload/src/${name}.spec.ts`;
      const jest = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--selectProjects', 'unit'];
      const options = { cwd: fileURLToPath(new URL('../../..', import.meta.url)), maxBuffer: 16 * 1024 * 1024 };
      const env = { ...process.env, NODE_OPTIONS: '', ...addon.environment(':detect_stack_use_after_return=0') };
      const { stderr } = await run(process.execPath, [...jest, '--testTimeout=60000', '--', spec], { ...options, env });
      expect(stderr).toMatch(/Tests: +\d+ passed/);
    },
    600_000,
  );
});
