import { DataEncryptionError } from './errors.js';

/** A tenant's name, or that of a subject: 1 to 255 characters, none of them a control character. It is stored and never changes. */
export type Tenant = string;

const mostCharacters = 255;
// eslint-disable-next-line no-control-regex -- databases differ in which of these they keep
const unsuitable = /[\u0000-\u001f\u007f]/;

/**
 * @param value  what a resolver returned or a row has
 * @returns undefined when there is none
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
 */
export function parseTenant(value: unknown): Tenant | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const text = typeof value === 'number' || typeof value === 'bigint' ? value.toString() : value;
  const isTenant =
    typeof text === 'string' && text.length <= mostCharacters && text.isWellFormed() && !unsuitable.test(text);
  if (isTenant) return text;
  throw new DataEncryptionError(
    'ERR_DATA_VALUE_INVALID',
    `tenant: want 1 to ${mostCharacters} characters and no control character, got another value`,
  );
}

/** @param what  what was to be done, e.g. `Patient: want a tenant to write for` */
export function tenantMissing(what: string): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_TENANT_MISSING',
    `${what}, got none; the way out: work inside a tenant's context, see the option tenant`,
  );
}

/** Which one it is stays unsaid: it may be a person. */
export function tenantUnknown(): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_TENANT_UNKNOWN',
    'tenant: want one that has data keys here, got one that nothing was ever encrypted for; the way out: its name as it was written, letter for letter',
  );
}

export function tenantMismatch(name: string): DataEncryptionError {
  return new DataEncryptionError('ERR_DATA_TENANT_MISMATCH', `${name}: want rows of this tenant, got one of another`);
}

export function shredded(name: string): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_SHREDDED',
    `${name}: want data that is there, got a tenant whose data was shredded`,
  );
}

/** Whether a tenant was shredded: waiting does not help. */
export function isShredded(error: unknown): boolean {
  return error instanceof DataEncryptionError && error.code === 'ERR_DATA_SHREDDED';
}
