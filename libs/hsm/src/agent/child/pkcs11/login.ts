import type { WirePinSource } from '../../protocol.js';
import { withLoginLock } from '../pin/login-lock.js';
import { readPin } from '../pin/pin-source.js';
import type { RefusedPinRecord } from '../pin/refused-pin.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotContent } from './native.js';
import { attemptPin, refusedUserPin } from './pin-attempt.js';

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
    this.#refused = refusedUserPin(stateDirectory, token);
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

  async #logIn(session: SessionHandle): Promise<void> {
    const pin = await readPin(this.pin);
    try {
      await attemptPin(this.#refused, `token "${this.token.label}"`, pin, () => this.native.login(session, pin));
    } catch (error) {
      const isAlready = error instanceof ReturnValueError && error.returnValue === ck.CKR_USER_ALREADY_LOGGED_IN;
      if (!isAlready) throw error;
    } finally {
      pin.fill(0);
    }
  }
}
