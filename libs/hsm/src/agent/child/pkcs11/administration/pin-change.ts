import { HsmError } from '../../../../errors.js';
import type { ProvisioningRequestOf } from '../../../../provisioning/protocol.js';
import { assertMayKeep, keepPinFile, replacePinFile } from '../../pin/pin-file.js';
import { ck, type Native, type SessionHandle, type SlotContent } from '../native.js';
import { attemptPin, refusedSecurityOfficerPin, refusedUserPin } from '../pin-attempt.js';
import { has, initialisedToken, named, withModule, withPin } from './administered-token.js';

type Request = ProvisioningRequestOf<'changePin'>;

/**
 * Gives the token its next PIN, and puts the file with it in the place of the current one while no agent of this state directory
 * reads either. Where it is in doubt which PIN the token has, the current one is tried first, and the next one when that was
 * refused: one failed attempt at most, which the success after it takes back.
 * @throws {HsmError} ERR_HSM_PIN_INCORRECT | ERR_HSM_PIN_REFUSED_EARLIER | ERR_HSM_PIN_FINAL_TRY | ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_SOURCE
 */
export async function changePin(request: Request): Promise<void> {
  await withModule(request, async (native) => {
    const token = initialisedToken(native, request.token);
    const { current, replacesFile, old } = request;
    expectAttempts(token, request);
    // Before any token is changed: what cannot be kept must not be replaced.
    if ('file' in current && old !== undefined) await assertMayKeep(current.file, old);
    await giveNextPin(native, token, request);
    if (replacesFile && 'file' in current) await takeInPlace(token, request, current.file);
  });
}

/** The token has the next PIN: whatever fails now, its file must stay. */
async function takeInPlace(token: SlotContent, { who, next, old }: Request, current: string): Promise<void> {
  try {
    if (old !== undefined) await keepPinFile(current, old);
    await replacePinFile(current, next);
  } catch (cause) {
    const message = `${named(token)}, ${who}: has the PIN of ${next} now: put that in the place of ${current}`;
    throw new HsmError('ERR_HSM_OUTCOME_UNKNOWN', message, { cause });
  }
}

async function giveNextPin(native: Native, token: SlotContent, request: Request): Promise<void> {
  const { who, current, next, isInDoubt, stateDirectory } = request;
  const refused = facts[who].record(stateDirectory, token);
  const session = native.openSession(token.slot);
  const logIn = (pin: Buffer): Promise<void> =>
    attemptPin(refused, `${named(token)}, ${who}`, pin, () => facts[who].logIn(native, session, pin));
  await withPin(current, token, (oldPin) =>
    withPin({ file: next }, token, async (newPin) => {
      if (await isAccepted(logIn(oldPin), isInDoubt)) native.setPin(session, oldPin, newPin);
      else await logIn(newPin);
    }),
  );
  native.logout(session);
}

/** @throws {HsmError} ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_FINAL_TRY */
function expectAttempts(token: SlotContent, { who, isInDoubt }: Request): void {
  if (has(token, facts[who].locked)) {
    throw new HsmError('ERR_HSM_PIN_LOCKED', `${named(token)}, ${who}: its PIN is locked`);
  }
  if (isInDoubt && has(token, facts[who].finalTry)) {
    const message = `${named(token)}, ${who}: one attempt is left, and which of two PINs is its own is not known; it is not used up here`;
    throw new HsmError('ERR_HSM_PIN_FINAL_TRY', message);
  }
}

/** @returns false when the PIN was refused and the other one may be the right one */
async function isAccepted(login: Promise<void>, isInDoubt: boolean): Promise<boolean> {
  try {
    await login;
    return true;
  } catch (error) {
    const isRefused = error instanceof HsmError && refusals.has(error.code);
    if (!isInDoubt || !isRefused) throw error;
    return false;
  }
}

const refusals: ReadonlySet<string> = new Set(['ERR_HSM_PIN_INCORRECT', 'ERR_HSM_PIN_REFUSED_EARLIER']);

const facts = {
  user: {
    locked: ck.CKF_USER_PIN_LOCKED,
    finalTry: ck.CKF_USER_PIN_FINAL_TRY,
    record: refusedUserPin,
    logIn: (native: Native, session: SessionHandle, pin: Buffer) => native.login(session, pin),
  },
  'security officer': {
    locked: ck.CKF_SO_PIN_LOCKED,
    finalTry: ck.CKF_SO_PIN_FINAL_TRY,
    record: refusedSecurityOfficerPin,
    logIn: (native: Native, session: SessionHandle, pin: Buffer) => native.loginSecurityOfficer(session, pin),
  },
} as const;
