import { HsmError } from '../../../errors.js';
import type { WirePinSource } from '../../protocol.js';
import { withLoginLock } from '../pin/login-lock.js';
import { readPin } from '../pin/pin-source.js';
import { RefusedPinRecord } from '../pin/refused-pin.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotContent } from './native.js';
import { returnValueName } from './return-value.js';

/**
 * The agent's one login and the session that carries it: a token logs out when the last session closes, so this one stays
 * open. It also owns the session objects (extractable keys), which die with the session that made them.
 *
 * `generation` counts logins: object handles found before the last one are not to be used any more.
 */
export class Login {
  #session: SessionHandle | undefined;
  #generation = 0;
  #restoring: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #refused: RefusedPinRecord;

  constructor(
    private readonly native: Native,
    private readonly token: SlotContent,
    private readonly pin: WirePinSource,
    private readonly stateDirectory: string,
  ) {
    const { manufacturer, model, serial, label } = token;
    this.#refused = new RefusedPinRecord(stateDirectory, JSON.stringify([manufacturer, model, serial, label]));
  }

  get generation(): number {
    return this.#generation;
  }

  /**
   * Logs in, unless somebody did since `seenGeneration`; callers that arrive meanwhile wait for the one attempt.
   * @throws {HsmError} ERR_HSM_PIN_SOURCE | ERR_HSM_PIN_INCORRECT | ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_REFUSED_EARLIER
   */
  async restore(seenGeneration: number): Promise<void> {
    if (seenGeneration !== this.#generation) return;
    this.#restoring ??= this.#establish().finally(() => (this.#restoring = undefined));
    await this.#restoring;
  }

  /** Runs `work` on the session that owns session objects, one at a time. */
  async onSession<T>(work: (session: SessionHandle) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => work(this.#openSession()));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #establish(): Promise<void> {
    const session = this.#liveSession();
    if (!this.native.isLoggedIn(session)) await withLoginLock(this.stateDirectory, () => this.#logIn(session));
    this.#generation++;
  }

  /** The session, reopened if the token closed it. */
  #liveSession(): SessionHandle {
    try {
      if (this.#session) this.native.isLoggedIn(this.#session);
    } catch {
      this.#session = undefined;
    }
    return this.#openSession();
  }

  #openSession(): SessionHandle {
    return (this.#session ??= this.native.openSession(this.token.slot));
  }

  /** One attempt, never a second one with a PIN that was refused. */
  async #logIn(session: SessionHandle): Promise<void> {
    const pin = await readPin(this.pin);
    try {
      if (await this.#refused.holds(pin)) {
        throw new HsmError(
          'ERR_HSM_PIN_REFUSED_EARLIER',
          `token "${this.token.label}" refused this PIN before: change it`,
        );
      }
      this.native.login(session, pin);
      await this.#refused.clear();
    } catch (error) {
      if (!(error instanceof ReturnValueError)) throw error;
      if (error.returnValue === ck.CKR_USER_ALREADY_LOGGED_IN) return;
      const recording = isRefusal(error) ? await this.#record(pin) : undefined;
      throw this.#toLoginError(error, recording);
    } finally {
      pin.fill(0);
    }
  }

  /** @returns what went wrong when it could not be recorded, since the PIN was refused all the same */
  async #record(pin: Buffer): Promise<Error | undefined> {
    try {
      await this.#refused.write(pin);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  #toLoginError(error: ReturnValueError, cause: Error | undefined): unknown {
    const returnValue = returnValueName(error.returnValue);
    const details = { returnValue, pkcs11Function: error.pkcs11Function, cause };
    if (error.returnValue === ck.CKR_PIN_LOCKED) {
      return new HsmError('ERR_HSM_PIN_LOCKED', `token "${this.token.label}": its PIN is locked`, details);
    }
    if (!isRefusal(error)) return error;
    return new HsmError(
      'ERR_HSM_PIN_INCORRECT',
      `token "${this.token.label}": want its PIN, got ${returnValue}${cause ? '; the refusal could not be recorded' : ''}`,
      details,
    );
  }
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
