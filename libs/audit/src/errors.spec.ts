import { errorPage } from '../../../test/support/error-page.js';
import { AuditError, auditErrorCodes } from './errors.js';

test('docs/ERRORS.md lists every code with its fault', () => {
  const codes = Object.fromEntries(auditErrorCodes.map((code) => [code, new AuditError(code, '').fault]));
  expect(errorPage('@nest-hsm/audit')).toEqual(codes);
});
