import { SoftwareToken } from '../../../../test/support/software-token.js';
import { DecisionSeals } from './decision-seals.js';

test('what was sealed stays sealed when the key is rotated, also for a process that starts afterwards', async () => {
  const token = new SoftwareToken();
  const before = await DecisionSeals.open(token, 'ca-seal');
  const rotated = await token.generateSecretKey({ label: 'ca-seal', algorithm: 'hmac-sha256' });
  Object.assign(rotated, { version: 2 });
  const after = await DecisionSeals.open(token, 'ca-seal');
  expect(after.isSealed(before.seal('order', ['a']), 'order', ['a'])).toBe(true);
  expect(before.isSealed(after.seal('order', ['a']), 'order', ['a'])).toBe(true);
  expect(after.isSealed(before.seal('order', ['a']), 'order', ['b'])).toBe(false);
});

test('of two keys of one label none is taken', async () => {
  const token = new SoftwareToken();
  for (const label of ['ca-seal', 'ca-seal']) await token.generateSecretKey({ label, algorithm: 'hmac-sha256' });
  await expect(DecisionSeals.open(token, 'ca-seal')).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
});
