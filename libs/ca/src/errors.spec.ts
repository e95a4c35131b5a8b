import { errorPage } from '../../../test/support/error-page.js';
import { CaError, caErrorCodes } from './errors.js';

test('CaError has the codes that docs/ERRORS.md lists, with the faults it names', () => {
  const codes = Object.fromEntries(caErrorCodes.map((code) => [code, new CaError(code, '').fault]));
  expect(errorPage('@nest-hsm/ca')).toEqual(codes);
});

test('CaError keeps its cause, and has none unless it says so', () => {
  const cause = new Error('below');
  expect(new CaError('ERR_CA_STORE_UNAVAILABLE', 'want a row, got none', { cause })).toMatchObject({
    name: 'CaError',
    fault: 'store',
    cause,
  });
  expect('cause' in new CaError('ERR_CA_CLOSED', 'closed')).toBe(false);
});
