import { HsmError } from '../../../errors.js';
import { RefusedPinRecord } from '../pin/refused-pin.js';
import { ck, ReturnValueError, type SlotContent } from './native.js';
import { returnValueName } from './return-value.js';

export function refusedUserPin(stateDirectory: string, token: SlotContent): RefusedPinRecord {
  return new RefusedPinRecord(stateDirectory, JSON.stringify(identity(token)));
}

export function refusedSecurityOfficerPin(stateDirectory: string, token: SlotContent): RefusedPinRecord {
  return new RefusedPinRecord(stateDirectory, JSON.stringify(['security officer', ...identity(token)]));
}

function identity({ manufacturer, model, serial, label }: SlotContent): string[] {
  return [manufacturer, model, serial, label];
}

/**
 * One attempt with a PIN, never a second one with a PIN that was refused.
 * @param name  whose PIN it is, for errors
 * @throws {HsmError} ERR_HSM_PIN_INCORRECT | ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_REFUSED_EARLIER
 * @throws {ReturnValueError} when it failed for another reason than the PIN
 */
export async function attemptPin(
  refused: RefusedPinRecord,
  name: string,
  pin: Buffer,
  attempt: () => void,
): Promise<void> {
  if (await refused.holds(pin)) {
    throw new HsmError('ERR_HSM_PIN_REFUSED_EARLIER', `${name} refused this PIN before: change it`);
  }
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof ReturnValueError)) throw error;
    const recording = isRefusal(error) ? await record(refused, pin) : undefined;
    throw toPinError(name, error, recording);
  }
  await refused.clear();
}

/** @returns what went wrong when it could not be recorded, since the PIN was refused all the same */
async function record(refused: RefusedPinRecord, pin: Buffer): Promise<Error | undefined> {
  try {
    await refused.write(pin);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function toPinError(name: string, error: ReturnValueError, cause: Error | undefined): Error {
  const returnValue = returnValueName(error.returnValue);
  const details = { returnValue, pkcs11Function: error.pkcs11Function, cause };
  if (error.returnValue === ck.CKR_PIN_LOCKED) {
    return new HsmError('ERR_HSM_PIN_LOCKED', `${name}: its PIN is locked`, details);
  }
  if (!isRefusal(error)) return error;
  return new HsmError(
    'ERR_HSM_PIN_INCORRECT',
    `${name}: want its PIN, got ${returnValue}${cause ? '; the refusal could not be recorded' : ''}`,
    details,
  );
}

/** The token weighed the PIN and found it wanting; trying it again can only lock the token. */
function isRefusal({ returnValue }: ReturnValueError): boolean {
  const refusals: readonly number[] = [
    ck.CKR_PIN_INCORRECT,
    ck.CKR_PIN_INVALID,
    ck.CKR_PIN_LEN_RANGE,
    ck.CKR_PIN_EXPIRED,
  ];
  return refusals.includes(returnValue);
}
