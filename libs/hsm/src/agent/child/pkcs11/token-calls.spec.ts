/** The built addon, in a process of its own on a SoftHSM token behind the chaos shim (libs/hsm/test/token-calls-driver.mjs). */
import { driveTokenCalls, soundReport } from '../../../../test/drive-token-calls.js';

test('makes many calls at once, says what the token says, and outlives whoever asked', async () => {
  expect(await driveTokenCalls('calls')).toEqual({ report: soundReport, code: 0, stderr: '' });
});

test('lets a process end while the token is frozen', async () => {
  expect(await driveTokenCalls('exit')).toEqual({ report: undefined, code: 7, stderr: '' });
});
