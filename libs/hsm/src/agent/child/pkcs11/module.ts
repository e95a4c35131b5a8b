/** Loading a PKCS#11 module, and ending it after a failure. */
import { isAbsolute } from 'node:path';
import { HsmError } from '../../../errors.js';
import { Native, ReturnValueError } from './native.js';
import { returnValueName, toHsmError } from './return-value.js';

/** dlopen and C_Initialize. @throws {HsmError} ERR_HSM_MODULE_UNUSABLE */
export function loadModule(path: string): Native {
  if (!isAbsolute(path)) {
    throw new HsmError('ERR_HSM_MODULE_UNUSABLE', `PKCS#11 module: want an absolute path, got ${path}`);
  }
  try {
    return new Native(path);
  } catch (cause) {
    const got = cause instanceof ReturnValueError ? returnValueName(cause.returnValue) : (cause as Error).message;
    throw new HsmError('ERR_HSM_MODULE_UNUSABLE', `PKCS#11 module ${path}: want to load it, got ${got}`, { cause });
  }
}

/** Ends the module after a failure. @returns what to throw */
export function closed(native: Native, error: unknown): unknown {
  endQuietly(native);
  return error instanceof ReturnValueError ? toHsmError(error, new Set()) : error;
}

export function endQuietly(native: Native): void {
  try {
    native.finalize();
  } catch {
    // What was done, or the error that led here, says more.
  }
}
