import { missingSteps, type Observation, type ProvisioningStep, provisioningSteps } from './plan.js';
import type { TokenState } from './protocol.js';

const pin = { warnings: [] };
const token = (hasUserPin: boolean): TokenState => {
  const identity = { label: 'tls-a', serial: '1', manufacturer: 'SoftHSM project', model: 'SoftHSM v2' };
  return { ...identity, isInitialised: true, hasUserPin, userPin: pin, securityOfficerPin: pin };
};
const contents = (labels: readonly string[], mechanisms = ['ec-p256']) => ({
  mechanisms,
  keys: labels.map((label) => ({ id: '00', label })),
});
const ready: Observation = {
  token: token(true),
  contents: contents(['nest-hsm-member', 'nest-hsm-probe', 'an application']),
  hasSecurityOfficerPin: true,
  hasUserPin: true,
  needsMemberKey: true,
};

test.each<[string, Partial<Observation>, readonly ProvisioningStep[]]>([
  ['ready', {}, []],
  [
    'not there, nor its PINs',
    { token: undefined, contents: undefined, hasSecurityOfficerPin: false, hasUserPin: false },
    provisioningSteps,
  ],
  [
    'not there, but its PINs',
    { token: undefined, contents: undefined },
    ['initialise token and set SO PIN', 'set user PIN', 'make member key', 'make probe key'],
  ],
  // Where the last run was killed between the two.
  [
    'without a user PIN',
    { token: token(false), contents: undefined },
    ['set user PIN', 'make member key', 'make probe key'],
  ],
  [
    'without a user PIN and its file',
    { token: token(false), contents: undefined, hasUserPin: false },
    ['make user PIN file', 'set user PIN', 'make member key', 'make probe key'],
  ],
  // A new SO PIN would be another one than the token has; it would only cost an attempt.
  ['without the file of the SO PIN', { hasSecurityOfficerPin: false }, []],
  ['without a probe key', { contents: contents(['nest-hsm-member']) }, ['make probe key']],
  ['unable to have a probe key', { contents: contents(['nest-hsm-member'], ['aes-256']) }, []],
  ['without a member key', { contents: contents(['nest-hsm-probe']) }, ['make member key']],
  ['of devices that copy keys', { contents: contents(['nest-hsm-probe']), needsMemberKey: false }, []],
])('a member that is %s', (_name, seen, steps) => {
  expect(missingSteps({ ...ready, ...seen })).toEqual(steps);
});
