import { errorPage } from '../../../../test/support/error-page.js';
import { serviceErrorFaults } from './service-error.js';

describe('the codes of the records service', () => {
  it('are those that docs/ERRORS.md lists, with the faults it names', () => {
    expect(errorPage('apps/records')).toEqual(serviceErrorFaults);
  });
});
