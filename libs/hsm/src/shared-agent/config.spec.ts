import { HsmError } from '../errors.js';
import { parseSharedAgentConfig, type SharedAgentConfig, socketPath } from './config.js';

const role = {
  name: 'tls',
  directory: '/run/nest-hsm/tls',
  policy: [{ label: 'tls-*', operations: ['sign' as const] }],
};
const minimal: SharedAgentConfig = {
  module: '/usr/lib/softhsm/libsofthsm2.so',
  token: { label: 'tls' },
  pin: { file: '/run/secrets/pin' },
  stateDirectory: '/var/lib/nest-hsm',
  roles: [role],
};

const faultsOf = (config: unknown): string => {
  try {
    parseSharedAgentConfig(config as SharedAgentConfig);
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_CONFIG_INVALID') return error.message;
    throw error;
  }
  return '';
};

test('completes a configuration', () => {
  const { roles, ...rest } = parseSharedAgentConfig(minimal);
  expect(rest).toMatchObject({ sessions: 16, hangMilliseconds: 2_000, generateHangMilliseconds: 60_000 });
  expect(roles).toEqual([{ ...role, connections: 16, callsInFlight: 64 }]);
  expect(socketPath(roles[0])).toBe('/run/nest-hsm/tls/agent.sock');
});

test.each([
  ['no role', { roles: [] }, /roles/],
  ['a role without a policy', { roles: [{ ...role, policy: undefined }] }, /roles\[0\]\.policy/],
  ['a policy that allows nothing', { roles: [{ ...role, policy: [] }] }, /roles\[0\]\.policy/],
  [
    'keys exported to anybody',
    { roles: [{ ...role, policy: [{ label: '*', operations: ['export'] }] }] },
    /want the recipients that a key may be exported to/,
  ],
  [
    'a recipient that is no fingerprint',
    { roles: [{ ...role, policy: [{ label: '*', operations: ['export'], recipients: ['anna'] }] }] },
    /want a fingerprint/,
  ],
  ['two roles of one name', { roles: [role, { ...role, directory: '/run/other' }] }, /want a name of its own/],
  ['two roles of one directory', { roles: [role, { ...role, name: 'ca' }] }, /want a directory of its own/],
  ['a relative directory', { roles: [{ ...role, directory: 'run' }] }, /want an absolute path/],
  [
    'a directory too long for a socket',
    { roles: [{ ...role, directory: `/${'x'.repeat(100)}` }] },
    /at most 103 bytes/,
  ],
])('refuses %s', (_, fault, message) => {
  expect(faultsOf({ ...minimal, ...fault })).toMatch(message);
});
