import { errorPage } from '../../../test/support/error-page.js';
import { DataEncryptionError, dataEncryptionErrorCodes } from './errors.js';

describe('DataEncryptionError', () => {
  it('has the codes that docs/ERRORS.md lists, with the faults it names', () => {
    const codes = Object.fromEntries(
      dataEncryptionErrorCodes.map((code) => [code, new DataEncryptionError(code, '').fault]),
    );
    expect(errorPage('@nest-hsm/data-encryption')).toEqual(codes);
  });

  it('keeps its cause, and has none otherwise', () => {
    const cause = new Error('below');
    expect(new DataEncryptionError('ERR_DATA_KEY_UNAVAILABLE', 'x', { cause }).cause).toBe(cause);
    expect('cause' in new DataEncryptionError('ERR_DATA_CLOSED', 'x')).toBe(false);
  });
});
