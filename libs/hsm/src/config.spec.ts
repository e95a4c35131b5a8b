import { type HsmConfig, parseHsmConfig } from './config.js';
import { HsmError } from './errors.js';

const minimal: HsmConfig = {
  name: 'ca',
  module: '/usr/lib/softhsm/libsofthsm2.so',
  token: { label: 'ca' },
  pin: { file: '/run/secrets/pin' },
  stateDirectory: '/var/lib/nest-hsm',
};

const faultsOf = (config: unknown): string => {
  try {
    parseHsmConfig(config as HsmConfig);
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_CONFIG_INVALID') return error.message;
    throw error;
  }
  return '';
};

describe('parseHsmConfig', () => {
  it('completes a configuration', () => {
    expect(parseHsmConfig(minimal)).toEqual({
      ...minimal,
      sessions: 16,
      moduleEnvironment: {},
      vendor: 'auto',
      client: 'application',
      deadlineMilliseconds: 5_000,
      hangMilliseconds: 2_000,
      generateHangMilliseconds: 60_000,
      startMilliseconds: 10_000,
      queueLimit: 1_024,
    });
  });

  it('freezes it to the ground', () => {
    const policy = [{ label: 'tls-*', operations: ['sign' as const], mechanisms: ['ecdsa-sha256'] }];
    const config = parseHsmConfig({ ...minimal, policy, pin: { command: ['pass', 'show', 'hsm'] } });
    const unfrozen = (value: unknown): boolean =>
      typeof value === 'object' && value !== null && (!Object.isFrozen(value) || Object.values(value).some(unfrozen));
    expect(unfrozen(config)).toBe(false);
  });

  it('lists all faults together', () => {
    const message = faultsOf({ ...minimal, name: 'CA 1', module: '', sessions: 0, colour: 'red' });
    for (const fault of ['name', 'module', 'sessions', 'colour']) expect(message).toContain(fault);
  });

  it.each([
    ['no token', { token: undefined }, /want \{ label \}/],
    ['a slot for a token', { token: { slot: 0 } }, /want \{ label \}/],
    ['a token by two names', { token: { label: 'a', serial: 'b' } }, /want \{ label \}/],
    ['a label longer than a token has', { token: { label: 'x'.repeat(33) } }, /token\.label/],
    ['a PIN in the configuration', { pin: '1234' }, /want one of \{ file \}/],
    ['a PIN value', { pin: { value: '1234' } }, /want one of \{ file \}/],
    ['two sources of the PIN', { pin: { file: '/a', environment: 'B' } }, /want one of \{ file \}/],
    ['a command without a program', { pin: { command: [] } }, /pin/],
    ['a callback that is none', { pin: { callback: 'pin' } }, /want one of \{ file \}/],
    ['options of Node for the agent', { moduleEnvironment: { NODE_OPTIONS: '--inspect' } }, /moduleEnvironment/],
    ['a variable no shell could set', { moduleEnvironment: { 'A=B': 'c' } }, /moduleEnvironment/],
    ['a value no process could get', { moduleEnvironment: { A: 'b\0c' } }, /moduleEnvironment/],
    ['an operation there is not', { policy: [{ label: '*', operations: ['copy'] }] }, /policy/],
    ['half a session', { sessions: 1.5 }, /sessions/],
    ['no time at all', { deadlineMilliseconds: 0 }, /deadlineMilliseconds/],
  ])('refuses %s', (_, fault, message) => {
    expect(faultsOf({ ...minimal, ...fault })).toMatch(message);
  });

  it('never quotes what might be a PIN', () => {
    for (const pin of ['s3cret', { value: 's3cret' }, { file: 's3cret', value: 's3cret' }]) {
      expect(faultsOf({ ...minimal, pin })).not.toContain('s3cret');
    }
  });
});
