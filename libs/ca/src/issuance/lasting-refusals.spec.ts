import { HsmError, type HsmErrorCode } from '@nest-hsm/hsm';
import { buildCsr } from '../../../../test/support/csr.js';
import { eventually } from '../../../../test/support/eventually.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { LastingRefusals } from './lasting-refusals.js';

const attempts = 20;

let ca: TestCa;
let authority: CertificateAuthority;
beforeEach(async () => {
  ca = await TestCa.create();
  authority = await ca.open();
});
afterEach(() => ca.remove());

async function refuseWith(code: HsmErrorCode): Promise<void> {
  ca.token.fault = () => {
    throw new HsmError(code, 'refused');
  };
  for (let attempt = 0; attempt < attempts; attempt += 1)
    await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toMatchObject({ code });
}
const unfinished = async (): Promise<number> => (await ca.states()).filter((state) => state !== 'issued').length;

test('while the token refuses, what is asked for leaves nothing behind, and is issued when it signs again', async () => {
  await refuseWith('ERR_HSM_AUDIT_UNAVAILABLE');
  const left = await unfinished();
  // One for each second that has passed.
  expect([left >= 1, left < attempts]).toEqual([true, true]);
  ca.token.fault = undefined;
  await eventually(async () => (await authority.issue(buildCsr(), 'tls-server')).serial !== '');
  await authority.issue(buildCsr(), 'tls-server');
});

test('a line that is full for a moment keeps nothing from being tried', async () => {
  await refuseWith('ERR_HSM_OVERLOADED');
  expect(await unfinished()).toBe(attempts);
});

test('whoever fails before the token is asked leaves the try to the next one', async () => {
  const refusals = new LastingRefusals();
  refusals.failed('issuer', new HsmError('ERR_HSM_POLICY_DENIED', 'refused'));
  const failing = (): Promise<never> => refusals.beforeTry('issuer', () => Promise.reject(new Error('no name')));
  await expect(failing()).rejects.toThrow('refused');
  await eventually(async () => (await failing().catch((error: Error) => error.message)) === 'no name');
  await expect(failing()).rejects.toThrow('no name');
  expect(await refusals.beforeTry('issuer', () => Promise.resolve('ticket'))).toBe('ticket');
});
