/** The built addon, in a process of its own on a SoftHSM token behind the chaos shim (libs/hsm/test/token-calls-driver.mjs). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { driveTokenCalls, processors, soundFreezes, soundReport } from '../../../../test/drive-token-calls.js';

const linux = process.platform === 'linux' ? test : test.skip;

test('makes many calls at once, says what the token says, and outlives whoever asked', async () => {
  expect(await driveTokenCalls('calls')).toEqual({ report: soundReport, code: 0, stderr: '' });
});

test('lets a process end while the token is frozen', async () => {
  expect(await driveTokenCalls('exit')).toEqual({ report: undefined, code: 7, stderr: '' });
});

linux(
  'goes on with many processors where some calls hang, fewer or more than there are threads for others',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-processors-'));
    try {
      const report = { asked: 'yes', freezes: soundFreezes };
      expect(await driveTokenCalls('freezes', processors(8, directory))).toEqual({ report, code: 0, stderr: '' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);
