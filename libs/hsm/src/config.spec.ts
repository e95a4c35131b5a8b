import { type HsmConfig, memberConfigs, parseHsmConfig } from './config.js';
import type { HsmMemberConfig } from './member-config.js';
import { HsmError } from './errors.js';

const member: HsmMemberConfig = {
  module: '/usr/lib/softhsm/libsofthsm2.so',
  token: { label: 'ca' },
  pin: { file: '/run/secrets/pin' },
};
const minimal: HsmConfig = { name: 'ca', members: [member], stateDirectory: '/var/lib/nest-hsm' };

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
      members: [{ ...member, sessions: 16, moduleEnvironment: {}, vendor: 'auto' }],
      replication: { mode: 'vendor' },
      rotation: [],
      client: 'application',
      deadlineMilliseconds: 5_000,
      hangMilliseconds: 2_000,
      generateHangMilliseconds: 60_000,
      startMilliseconds: 10_000,
      queueLimit: 2_048,
    });
  });

  it('freezes it to the ground', () => {
    const policy = [{ label: 'tls-*', operations: ['sign' as const], mechanisms: ['ecdsa-sha256'] }];
    const audit = { directory: '/var/log/hsm', folded: [{ label: 'tls', operations: ['sign' as const] }] };
    const config = parseHsmConfig({
      ...minimal,
      policy,
      audit,
      members: [{ ...member, pin: { command: ['pass', 'show', 'hsm'] } }],
    });
    const unfrozen = (value: unknown): boolean =>
      typeof value === 'object' && value !== null && (!Object.isFrozen(value) || Object.values(value).some(unfrozen));
    expect(unfrozen(config)).toBe(false);
  });

  it('lists all faults together', () => {
    const message = faultsOf({
      ...minimal,
      name: 'CA 1',
      members: [{ ...member, module: '', sessions: 0 }],
      colour: 'red',
    });
    for (const fault of ['name', 'module', 'sessions', 'colour']) expect(message).toContain(fault);
  });

  it.each([
    ['an operation there is not', { policy: [{ label: '*', operations: ['copy'] }] }, /policy/],
    ['no time at all', { deadlineMilliseconds: 0 }, /deadlineMilliseconds/],
    ['a way to replicate there is not', { replication: { mode: 'copied' } }, /replication/],
    ['no keyring', { replication: { mode: 'wrapped' } }, /keyring/],
    ['no member', { members: [] }, /members/],
    [
      'more members than 32',
      { members: Array.from({ length: 33 }, (_, each) => ({ ...member, name: `m${each}` })) },
      /members/,
    ],
    ['two members of one name', { members: [member, member] }, /want a name of its own for each member, got "ca"/],
    ['a name that is no file name', { members: [{ ...member, name: '../ca' }] }, /got "..\/ca"/],
    ['a label that is no file name', { members: [{ ...member, token: { label: 'my ca' } }] }, /got "my ca"/],
  ])('refuses %s', (_, fault, message) => {
    expect(faultsOf({ ...minimal, ...fault })).toMatch(message);
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
    ['half a session', { sessions: 1.5 }, /sessions/],
  ])('refuses a member with %s', (_, fault, message) => {
    expect(faultsOf({ ...minimal, members: [{ ...member, ...fault }] })).toMatch(message);
  });

  const shared: HsmMemberConfig = { name: 'shared', socket: '/run/nest-hsm/ca/agent.sock' };

  it('takes a socket of a shared agent for a member', () => {
    const { members } = parseHsmConfig({ ...minimal, members: [shared, member] });
    expect(members).toMatchObject([{ ...shared, sessions: 16 }, { token: { label: 'ca' } }]);
  });

  it('wants no state directory where no token is logged in to', () => {
    const { stateDirectory: _, ...rest } = minimal;
    const [parsed] = memberConfigs(parseHsmConfig({ ...rest, members: [shared] }));
    expect(parsed).not.toHaveProperty('stateDirectory');
    expect(faultsOf({ ...rest, members: [shared, member] })).toMatch(
      /behind sockets can be used.*\n.*at stateDirectory/,
    );
  });

  it.each([
    ['no name', { name: undefined }, /members\[0\]\.name/],
    ['a PIN too', { pin: { file: '/run/secrets/pin' } }, /Unrecognized key: "pin"/],
    ['a relative path', { socket: 'agent.sock' }, /want an absolute path/],
    ['a path longer than a socket may have', { socket: `/${'x'.repeat(103)}` }, /socket/],
  ])('refuses a shared agent with %s, and tells no other fault', (_, fault, message) => {
    const told = faultsOf({ ...minimal, members: [{ ...shared, ...fault }] });
    expect(told).toMatch(message);
    expect(told).not.toContain('module');
  });

  it('refuses a policy that a shared agent would not know of', () => {
    const policy = [{ label: '*', operations: ['sign'] }];
    expect(faultsOf({ ...minimal, members: [shared], policy })).toMatch(/policy for a shared agent/);
  });

  it('never quotes what might be a PIN', () => {
    for (const pin of ['s3cret', { value: 's3cret' }, { file: 's3cret', value: 's3cret' }]) {
      expect(faultsOf({ ...minimal, members: [{ ...member, pin }] })).not.toContain('s3cret');
    }
  });
});

describe('memberConfigs', () => {
  it('gives each member what all share, and a state directory of its own', () => {
    const config = parseHsmConfig({ ...minimal, members: [member, { ...member, name: 'second', sessions: 4 }] });
    const shared = { client: 'application', hangMilliseconds: 2_000, module: member.module };
    expect(memberConfigs(config)).toMatchObject([
      { ...shared, name: 'ca', sessions: 16, stateDirectory: '/var/lib/nest-hsm/ca' },
      { ...shared, name: 'second', sessions: 4, stateDirectory: '/var/lib/nest-hsm/second' },
    ]);
  });
});

describe('audit', () => {
  const audit = { directory: '/var/lib/nest-hsm/audit' };
  const issuerKeys = (config: Partial<HsmConfig>): readonly (readonly string[] | undefined)[] =>
    memberConfigs(parseHsmConfig({ ...minimal, ...config })).map((each) => each.audit?.issuerKeys);

  it('is the same for each member, and takes all keys of a CA for an issuer’s', () => {
    const members = [member, { ...member, name: 'second' }];
    expect(issuerKeys({ members, audit })).toEqual([['*'], ['*']]);
    expect(issuerKeys({ audit: { ...audit, issuerKeys: ['issuing'] } })).toEqual([['issuing']]);
    expect(issuerKeys({ name: 'tls', audit })).toEqual([[]]);
    expect(issuerKeys({})).toEqual([undefined]);
  });

  it.each([
    ['no directory', {}, /directory/],
    ['segments of nothing', { ...audit, maximumSegmentBytes: 1 }, /maximumSegmentBytes/],
    ['key management folded', { ...audit, folded: [{ label: '*', operations: ['destroy'] }] }, /operations/],
    ['exceptions to nothing', { ...audit, issuerKeys: ['!*-ocsp', 'ca'] }, /before the exceptions/],
    ['a policy there is not', { ...audit, onFailure: { use: 'ignore' } }, /onFailure/],
  ])('wants to be sound: not %s', (_name, faulty, fault) => {
    expect(faultsOf({ ...minimal, audit: faulty })).toMatch(fault);
  });
});
