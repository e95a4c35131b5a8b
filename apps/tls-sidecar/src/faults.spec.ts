import { errorPage } from '../../../test/support/error-page.js';
import { describeFault, SidecarError, sidecarErrorCodes } from './faults.js';

describe('the codes of the sidecar', () => {
  it('are those that docs/ERRORS.md lists, each the operator to mend', () => {
    expect(errorPage('apps/tls-sidecar')).toEqual(
      Object.fromEntries(sidecarErrorCodes.map((code) => [code, 'operator'])),
    );
  });

  it('come first in what the process says, and a bug shows its stack', () => {
    expect(describeFault(new SidecarError('ERR_SIDECAR_LISTEN', 'want, got'))).toBe(
      'tls-sidecar: ERR_SIDECAR_LISTEN: want, got\n',
    );
    expect(describeFault(new TypeError('ours'))).toMatch(/^tls-sidecar: TypeError: ours\n {4}at /);
  });
});
