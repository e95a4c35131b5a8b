import { errorPage } from '../../../test/support/error-page.js';
import { TlsOffloadError, tlsOffloadErrorCodes } from './errors.js';

describe('TlsOffloadError', () => {
  it('has the codes that docs/ERRORS.md lists, with the faults it names', () => {
    const codes = Object.fromEntries(tlsOffloadErrorCodes.map((code) => [code, new TlsOffloadError(code, '').fault]));
    expect(errorPage('@nest-hsm/tls-offload')).toEqual(codes);
  });

  it('keeps its cause, and has none otherwise', () => {
    const cause = new Error('below');
    expect(new TlsOffloadError('ERR_TLS_OFFLOAD_SIGNATURE_FAILED', 'x', { cause }).cause).toBe(cause);
    expect('cause' in new TlsOffloadError('ERR_TLS_OFFLOAD_CLOSED', 'x')).toBe(false);
  });
});
