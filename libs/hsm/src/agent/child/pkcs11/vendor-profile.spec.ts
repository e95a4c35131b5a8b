import { vendorProfile } from './vendor-profile.js';

test.each([
  ['SoftHSM project', 'SoftHSM v2', 'softhsm'],
  ['Marvell Semiconductors, Inc.', 'LS2', 'cloudhsm'],
  ['Cavium Networks', 'NITROX-III', 'cloudhsm'],
  ['Example Corp', 'Vault 9', 'generic'],
  ['', '', 'generic'],
] as const)('"%s" "%s" is taken for %s', (manufacturer, model, name) => {
  expect(vendorProfile('auto', { manufacturer, model }).name).toBe(name);
});

test('a configured vendor wins over the token’s own words', () => {
  expect(vendorProfile('generic', { manufacturer: 'SoftHSM project', model: 'SoftHSM v2' }).name).toBe('generic');
});
