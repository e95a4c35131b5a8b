/** Return values: their names, and what an agent does about each (docs/WHEN-AN-HSM-DIES.md). */
import { HsmError, type HsmErrorCode } from '../../../errors.js';
import { ck, type ReturnValueError } from './native.js';

type ReturnValueName = Extract<keyof typeof ck, `CKR_${string}`>;

const namedValues = Object.entries(ck).filter((entry): entry is [ReturnValueName, number] =>
  entry[0].startsWith('CKR_'),
);
const nameByValue = new Map(namedValues.map(([name, value]) => [value, name]));

/** `CKR_DEVICE_ERROR`, or `CKR_0x80000001` when the number has no name. */
export function returnValueName(value: number): string {
  return nameByValue.get(value) ?? `CKR_0x${value.toString(16).padStart(8, '0')}`;
}

/**
 * session-dead: close the session, try once more on a fresh one · login-lost: log in (one caller for all), find the key
 * again, try once more · instance-dead: the module heals only in a new process · throttled: back off, at most 3 tries ·
 * full: no more sessions or objects · refused: never try again · caller: the request was wrong · other: keep the number.
 */
export type ReturnValueClass =
  'session-dead' | 'login-lost' | 'instance-dead' | 'throttled' | 'full' | 'refused' | 'caller' | 'other';

const classes: Readonly<Partial<Record<ReturnValueName, ReturnValueClass>>> = {
  CKR_SESSION_HANDLE_INVALID: 'session-dead',
  CKR_SESSION_CLOSED: 'session-dead',
  CKR_OPERATION_ACTIVE: 'session-dead',
  CKR_OPERATION_NOT_INITIALIZED: 'session-dead',
  CKR_USER_NOT_LOGGED_IN: 'login-lost',
  // What SoftHSM answers after a logout: private objects are gone from the session's sight.
  CKR_OBJECT_HANDLE_INVALID: 'login-lost',
  CKR_KEY_HANDLE_INVALID: 'login-lost',
  CKR_WRAPPING_KEY_HANDLE_INVALID: 'login-lost',
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: 'login-lost',
  CKR_DEVICE_ERROR: 'instance-dead',
  CKR_DEVICE_REMOVED: 'instance-dead',
  CKR_TOKEN_NOT_PRESENT: 'instance-dead',
  CKR_TOKEN_NOT_RECOGNIZED: 'instance-dead',
  CKR_SLOT_ID_INVALID: 'instance-dead',
  CKR_CRYPTOKI_NOT_INITIALIZED: 'instance-dead',
  CKR_SESSION_COUNT: 'full',
  CKR_DEVICE_MEMORY: 'full',
  CKR_HOST_MEMORY: 'full',
  CKR_PIN_INCORRECT: 'refused',
  CKR_PIN_INVALID: 'refused',
  CKR_PIN_LEN_RANGE: 'refused',
  CKR_PIN_EXPIRED: 'refused',
  CKR_PIN_LOCKED: 'refused',
  CKR_ACTION_PROHIBITED: 'refused',
  CKR_KEY_FUNCTION_NOT_PERMITTED: 'refused',
  CKR_KEY_UNEXTRACTABLE: 'refused',
  CKR_KEY_NOT_WRAPPABLE: 'refused',
  CKR_TOKEN_WRITE_PROTECTED: 'refused',
  CKR_ARGUMENTS_BAD: 'caller',
  CKR_ATTRIBUTE_READ_ONLY: 'caller',
  CKR_ATTRIBUTE_TYPE_INVALID: 'caller',
  CKR_ATTRIBUTE_VALUE_INVALID: 'caller',
  CKR_TEMPLATE_INCOMPLETE: 'caller',
  CKR_TEMPLATE_INCONSISTENT: 'caller',
  CKR_DATA_INVALID: 'caller',
  CKR_DATA_LEN_RANGE: 'caller',
  CKR_KEY_SIZE_RANGE: 'caller',
  CKR_KEY_TYPE_INCONSISTENT: 'caller',
  CKR_MECHANISM_INVALID: 'caller',
  CKR_MECHANISM_PARAM_INVALID: 'caller',
  CKR_DOMAIN_PARAMS_INVALID: 'caller',
};

/** @param throttledValues  the vendor's way of saying "slow down" (vendor-profile.ts) */
export function classify(value: number, throttledValues: ReadonlySet<number>): ReturnValueClass {
  if (throttledValues.has(value)) return 'throttled';
  const name = nameByValue.get(value);
  return (name && classes[name]) ?? 'other';
}

const codes: Readonly<Record<ReturnValueClass, { code: HsmErrorCode; retryable: boolean }>> = {
  'session-dead': { code: 'ERR_HSM_UNAVAILABLE', retryable: true },
  'login-lost': { code: 'ERR_HSM_KEY_NOT_FOUND', retryable: false },
  'instance-dead': { code: 'ERR_HSM_UNAVAILABLE', retryable: true },
  throttled: { code: 'ERR_HSM_THROTTLED', retryable: true },
  full: { code: 'ERR_HSM_TOKEN_FULL', retryable: true },
  refused: { code: 'ERR_HSM_TOKEN_ERROR', retryable: false },
  caller: { code: 'ERR_HSM_TOKEN_ERROR', retryable: false },
  other: { code: 'ERR_HSM_TOKEN_ERROR', retryable: false },
};

/** The error an application sees, with the C function and the CKR name. */
export function toHsmError(error: ReturnValueError, throttledValues: ReadonlySet<number>): HsmError {
  const returnValue = returnValueName(error.returnValue);
  const isMechanism = returnValue === 'CKR_MECHANISM_INVALID' || returnValue === 'CKR_MECHANISM_PARAM_INVALID';
  const { code, retryable } = codes[classify(error.returnValue, throttledValues)];
  return new HsmError(
    isMechanism ? 'ERR_HSM_MECHANISM_UNSUPPORTED' : code,
    `${error.pkcs11Function}: want CKR_OK, got ${returnValue}`,
    { returnValue, pkcs11Function: error.pkcs11Function, retryable },
  );
}
