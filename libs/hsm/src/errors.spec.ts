import { inspect } from 'node:util';
import { errorPage } from '../../../test/support/error-page.js';
import { HsmError, hsmErrorCodes } from './errors.js';

describe('HsmError', () => {
  it('has the codes that docs/ERRORS.md lists, with the faults it names', () => {
    const codes = Object.fromEntries(hsmErrorCodes.map((code) => [code, new HsmError(code, '').fault]));
    expect(errorPage('@nest-hsm/hsm')).toEqual(codes);
  });

  it('keeps what the token said and the cause', () => {
    const cause = new Error('below');
    const details = { returnValue: 'CKR_DEVICE_ERROR', pkcs11Function: 'C_Sign', member: 'ca', retryable: true };
    const error = new HsmError('ERR_HSM_UNAVAILABLE', 'want a signature, got none', { ...details, cause });
    expect(error).toMatchObject({ name: 'HsmError', code: 'ERR_HSM_UNAVAILABLE', fault: 'token', cause, ...details });
    expect(inspect(error)).toContain('CKR_DEVICE_ERROR');
  });

  it('is not retryable and has no cause unless it says so', () => {
    const error = new HsmError('ERR_HSM_CLOSED', 'closed');
    expect(error.retryable).toBe(false);
    expect('cause' in error).toBe(false);
  });
});
