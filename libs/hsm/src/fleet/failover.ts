/** What becomes of a call that a member could not do. */
import { type NewKey, type Request, verbFacts } from '../agent/protocol.js';
import { type HsmError } from '../errors.js';
import type { Call } from './call.js';
import type { Member } from './member.js';

/**
 * `again`: on another member, or on the next agent of the same one. `look up`: its member's next agent is asked whether what
 * the call makes came to be. `none`: the caller is told.
 */
export type Remedy = 'again' | 'look up' | 'none';

export function remedyFor(call: Call, member: Member, error: HsmError, members: readonly Member[]): Remedy {
  const isLost = error.code === 'ERR_HSM_UNAVAILABLE' && error.retryable;
  if (mayBeMadeAgain(call, error) && call.attempts - call.turnedAway < attemptsAllowed(call, member)) {
    // A lost agent is replaced, so its member may be asked again.
    if (isLost || mayOtherServe(call, member, error, members)) return 'again';
  }
  return error.code === 'ERR_HSM_OUTCOME_UNKNOWN' || (isLost && mayBeDone(call)) ? 'look up' : 'none';
}

/** A shared agent may be lost for what others do with it: one loss more says nothing against this call. */
function attemptsAllowed({ attemptsAllowed: allowed }: Call, { config }: Member): number {
  return allowed > 1 && 'socket' in config ? allowed + 1 : allowed;
}

/** Sent, and of lasting effect if the token did it. Wrapping has none, and what it wraps is gone with its agent. */
export function mayBeDone({ attempts, verb }: Call): boolean {
  return attempts > 0 && !verbFacts[verb].retrySafe && verb !== 'wrapKey';
}

/** The durable key that a call makes; a session object is gone with its agent. */
export function keyInTheMaking({ verb, request }: Call): NewKey | undefined {
  if (verb === 'generateKey') {
    const key = request as Request<'generateKey'>;
    return key.extractable ? undefined : key;
  }
  return verb === 'unwrapKey' ? (request as Request<'unwrapKey'>).key : undefined;
}

/** What is wrapped is a session object of one member, which those that lack it are asked for in vain and without effect. */
function mayBeMadeAgain({ verb }: Call, { code }: HsmError): boolean {
  return verbFacts[verb].retrySafe || (verb === 'wrapKey' && code === 'ERR_HSM_KEY_NOT_FOUND');
}

/** Whether the fault is the member's own, and another that has not been asked yet is there, or may come with the key. */
function mayOtherServe(call: Call, member: Member, error: HsmError, members: readonly Member[]): boolean {
  const { code, fault } = error;
  const isOfMember = fault === 'token' || fault === 'operator' || ofMember.has(code);
  if (!isOfMember || code === 'ERR_HSM_TIMEOUT') return false;
  call.failedOn(member, error);
  const isAwaited = ({ isReachable, state }: Member): boolean =>
    isReachable || (code === 'ERR_HSM_KEY_NOT_FOUND' && (state === 'down' || state === 'starting'));
  return members.some((each) => call.tried?.includes(each) !== true && (call.only ?? each) === each && isAwaited(each));
}

/** The caller's fault on one member, and none on another that has the key, can do more, or is not broken. */
const ofMember: ReadonlySet<string> = new Set([
  'ERR_HSM_KEY_NOT_FOUND',
  'ERR_HSM_MECHANISM_UNSUPPORTED',
  'ERR_HSM_DECRYPTION_FAILED',
]);
