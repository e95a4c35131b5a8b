import { SanitizedAddon } from '../../../test/support/sanitized-addon.js';
import { driveTokenCalls, soundReport } from './drive-token-calls.js';

const linux = process.platform === 'linux' ? describe : describe.skip;

linux('the addon under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  let addon: SanitizedAddon;

  beforeAll(() => {
    addon = new SanitizedAddon('hsm');
  }, 300_000);
  afterAll(() => addon.remove());

  it('is what the sanitizers watch', () => {
    expect(addon.missingSymbols()).toEqual([]);
  });

  it('does nothing undefined through calls, faults, a frozen token and the end of a thread', async () => {
    expect(await driveTokenCalls('calls', addon.environment())).toEqual({ report: soundReport, code: 0, stderr: '' });
  }, 300_000);

  it('does nothing undefined when its process ends', async () => {
    expect(await driveTokenCalls('exit', addon.environment())).toEqual({ report: undefined, code: 7, stderr: '' });
  }, 300_000);
});
