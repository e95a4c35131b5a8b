import { ck, ReturnValueError } from './native.js';
import { classify, returnValueName, toHsmError } from './return-value.js';

const none = new Set<number>();

test.each([
  [0x30, 'CKR_DEVICE_ERROR'],
  [0xa0, 'CKR_PIN_INCORRECT'],
  [0x1b, 'CKR_ACTION_PROHIBITED'],
  [0x80000001, 'CKR_0x80000001'],
  [0x1234567, 'CKR_0x01234567'],
])('%d is %s', (value, name) => {
  expect(returnValueName(value)).toBe(name);
});

test.each([
  [ck.CKR_SESSION_HANDLE_INVALID, 'session-dead', 'ERR_HSM_UNAVAILABLE', true],
  [ck.CKR_OPERATION_ACTIVE, 'session-dead', 'ERR_HSM_UNAVAILABLE', true],
  [ck.CKR_USER_NOT_LOGGED_IN, 'login-lost', 'ERR_HSM_KEY_NOT_FOUND', false],
  [ck.CKR_OBJECT_HANDLE_INVALID, 'login-lost', 'ERR_HSM_KEY_NOT_FOUND', false],
  [ck.CKR_DEVICE_ERROR, 'instance-dead', 'ERR_HSM_UNAVAILABLE', true],
  [ck.CKR_CRYPTOKI_NOT_INITIALIZED, 'instance-dead', 'ERR_HSM_UNAVAILABLE', true],
  [ck.CKR_SESSION_COUNT, 'full', 'ERR_HSM_TOKEN_FULL', true],
  [ck.CKR_PIN_LOCKED, 'refused', 'ERR_HSM_TOKEN_ERROR', false],
  [ck.CKR_MECHANISM_INVALID, 'caller', 'ERR_HSM_MECHANISM_UNSUPPORTED', false],
  [ck.CKR_DATA_LEN_RANGE, 'caller', 'ERR_HSM_TOKEN_ERROR', false],
  [ck.CKR_FUNCTION_FAILED, 'other', 'ERR_HSM_TOKEN_ERROR', false],
  [0x80000001, 'other', 'ERR_HSM_TOKEN_ERROR', false],
])('%d is %s, for the application %s', (value, kind, code, retryable) => {
  expect(classify(value, none)).toBe(kind);
  const error = toHsmError(new ReturnValueError(value, 'C_Sign'), none);
  expect(error).toMatchObject({ code, retryable, returnValue: returnValueName(value), pkcs11Function: 'C_Sign' });
});

test('a vendor’s own way to say "slow down" is throttling for that vendor only', () => {
  const throttled = new Set([ck.CKR_FUNCTION_FAILED]);
  expect(classify(ck.CKR_FUNCTION_FAILED, throttled)).toBe('throttled');
  expect(toHsmError(new ReturnValueError(ck.CKR_FUNCTION_FAILED, 'C_Sign'), throttled)).toMatchObject({
    code: 'ERR_HSM_THROTTLED',
    retryable: true,
  });
});
