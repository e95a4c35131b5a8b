import { NotFoundException } from '@nestjs/common';
import { CaError, caErrorCodes } from '@nest-hsm/ca';
import { HsmError, hsmErrorCodes } from '@nest-hsm/hsm';
import { errorPage } from '../../../../test/support/error-page.js';
import { ApiError, apiErrorCodes } from './api-error.js';
import { problemOf, problemStatus } from './problem.js';

test('the table has every code of the service and its libraries, and no other', () => {
  expect(Object.keys(problemStatus).sort()).toEqual([...apiErrorCodes, ...caErrorCodes, ...hsmErrorCodes].sort());
});

test('docs/ERRORS.md lists the codes of the service', () => {
  expect(Object.keys(errorPage('apps/ca')).sort()).toEqual([...apiErrorCodes].sort());
});

test('a refusal says why', () => {
  expect(problemOf(new CaError('ERR_CA_KEY_WEAK', 'want 2048 bits, got 1024'), 'id')).toEqual({
    type: 'urn:nest-hsm:problem:ERR_CA_KEY_WEAK',
    title: 'Unprocessable Entity',
    status: 422,
    code: 'ERR_CA_KEY_WEAK',
    detail: 'want 2048 bits, got 1024',
    instance: 'urn:uuid:id',
  });
});

test.each([
  ['the token', new HsmError('ERR_HSM_TOKEN_ERROR', 'slot 7 secret'), 503],
  ['the database', new CaError('ERR_CA_STORE_UNAVAILABLE', 'host 10.0.0.1 secret'), 503],
  ['a bug of ours', new CaError('ERR_CA_LINT_FAILED', 'secret'), 500],
  ['anything else', new TypeError('secret'), 500],
  ['what is not even an error', 'secret', 500],
])('a fault of %s does not say what is behind it', (_, error, status) => {
  const problem = problemOf(error, 'id');
  expect(problem.status).toBe(status);
  expect(JSON.stringify(problem)).not.toContain('secret');
});

test('errors of the framework get codes of their own', () => {
  expect(problemOf(new NotFoundException(), 'id').code).toBe('ERR_API_NOT_FOUND');
  expect(problemOf(Object.assign(new Error(), { statusCode: 415 }), 'id').code).toBe('ERR_API_MEDIA_TYPE');
  expect(problemOf(Object.assign(new Error(), { statusCode: 400 }), 'id').code).toBe('ERR_API_BODY_INVALID');
  expect(problemOf(new ApiError('ERR_API_NOT_ACCEPTABLE', ''), 'id').status).toBe(406);
});
