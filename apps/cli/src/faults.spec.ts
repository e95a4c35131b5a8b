import { errorPage } from '../../../test/support/error-page.js';
import { cliErrorCodes } from './faults.js';

test('docs/ERRORS.md lists the codes of the command line', () => {
  expect(Object.keys(errorPage('apps/cli')).sort()).toEqual([...cliErrorCodes].sort());
});
