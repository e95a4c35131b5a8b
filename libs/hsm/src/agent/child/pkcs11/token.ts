import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../../../errors.js';
import type { KeyId } from '../../../key/key.js';
import type { AgentSettings, TokenDescription } from '../../protocol.js';
import type { Call } from '../call.js';
import { withLoginLock } from '../pin/login-lock.js';
import { ensureStateDirectory } from '../pin/state-directory.js';
import type { Permit, TokenKey } from './key-inspection.js';
import { KeyStore } from './key-store.js';
import { Login } from './login.js';
import { supportedNames } from './mechanism.js';
import { closed, loadModule } from './module.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotContent } from './native.js';
import { classify, toHsmError } from './return-value.js';
import { SessionPool } from './session-pool.js';
import { selectToken } from './token-selection.js';
import { type VendorProfile, vendorProfile } from './vendor-profile.js';

const throttledTries = 3;
const throttledPauseMilliseconds = 50;

const selectionTries = 5;
const selectionPauseMilliseconds = 40;

/** Whether a call may be made again after it may have reached the token (SECURITY.md, Retry). */
export type Repeatable = 'repeatable' | 'once';

/** One logged-in token: where every operation gets its session and its key, and where the token's faults are dealt with. */
export class Token {
  /** Called once, when the module heals only in a new process. */
  onInstanceDead: () => void = () => undefined;
  #lastTurn: Promise<unknown> = Promise.resolve();

  /**
   * Loads the module, chooses the token and logs in.
   * @throws {HsmError} ERR_HSM_MODULE_UNUSABLE | ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS |
   * ERR_HSM_TOKEN_UNINITIALIZED | ERR_HSM_PIN_* | ERR_HSM_CONFIG_INVALID | ERR_HSM_UNAVAILABLE
   */
  static async open(settings: AgentSettings): Promise<Token> {
    await ensureStateDirectory(settings.stateDirectory);
    // Under the lock, since C_Initialize takes a token that another process's login is rewriting for an uninitialised one.
    const { native, slot } = await withLoginLock(settings.stateDirectory, () => findToken(settings));
    try {
      const login = new Login(native, slot, settings.pin, settings.stateDirectory);
      await login.restore(login.generation);
      // Once more, since the login clears or raises the PIN flags; and no token information is read while another process logs in.
      const read = () => Promise.resolve(native.slotContent(slot.slot));
      return new Token(native, await withLoginLock(settings.stateDirectory, read), login, settings);
    } catch (error) {
      throw closed(native, error);
    }
  }

  readonly description: TokenDescription;
  readonly profile: VendorProfile;
  readonly keys: KeyStore;
  readonly #pool: SessionPool;

  private constructor(
    readonly native: Native,
    slot: SlotContent,
    private readonly login: Login,
    settings: AgentSettings,
  ) {
    this.profile = vendorProfile(settings.vendor, slot);
    this.description = describe(native, slot, this.profile);
    this.keys = new KeyStore(native, this.profile, () => login.generation);
    this.#pool = new SessionPool(native, slot.slot, settings.sessions);
  }

  /** Finds a key, checked and safe to use. @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | …_AMBIGUOUS | …_UNSAFE */
  async key(call: Call, id: KeyId, permit?: Permit): Promise<TokenKey> {
    return this.keys.remembered(id) ?? this.run(call, 'repeatable', (session) => this.keys.one(session, id, permit));
  }

  /**
   * Runs one operation on a session of its own and deals with the token's faults: a dead session is replaced, a lost login
   * made again, a throttled call made later. `work` looks its key up anew each time, since handles go with the login.
   * @param onRetry  told why a try failed after which there is another
   * @throws {HsmError}
   */
  run<T>(
    call: Call,
    repeatable: Repeatable,
    work: (session: SessionHandle) => Promise<T> | T,
    onRetry?: (error: HsmError) => void,
  ): Promise<T> {
    const { generation } = this.login;
    const run = (): Promise<T> => this.#pool.withSession(call, work);
    return run().catch((error: unknown) => this.#recover(error, generation, repeatable, run, onRetry));
  }

  /** Inside `run`: the one session whose session objects live as long as the agent, for one `work` at a time. */
  onLastingSession<T>(work: (session: SessionHandle) => Promise<T>): Promise<T> {
    return this.login.onSession(work);
  }

  /** Makes a key, where the vendor wants it one at a time after those that are in the making. */
  inTurn<T>(make: () => Promise<T>): Promise<T> {
    if (!this.profile.makesKeysInTurn) return make();
    const turn = this.#lastTurn.then(make);
    this.#lastTurn = turn.catch(() => undefined);
    return turn;
  }

  /** Ends the module. Only when no call is in flight. */
  close(): void {
    this.native.finalize();
  }

  /** Apart from the first try, since hardly any fails. @param generation  of the login that the failed try had */
  async #recover<T>(
    failure: unknown,
    generation: number,
    repeatable: Repeatable,
    run: () => Promise<T>,
    onRetry?: (error: HsmError) => void,
  ): Promise<T> {
    let error = failure;
    let seenGeneration = generation;
    let isFreshSession = false;
    let isFreshLogin = false;
    for (let tries = 1; ; tries++) {
      if (!(error instanceof ReturnValueError)) throw error;
      switch (classify(error.returnValue, this.profile.throttled)) {
        case 'session-dead':
          if (isFreshSession || !mayRepeat(error, repeatable)) throw this.#failure(error, repeatable);
          isFreshSession = true;
          // Where one session died the others may have, and with the last one the login.
          this.#pool.closeIdle();
          await this.#restoreLogin(seenGeneration);
          break;
        case 'login-lost':
          if (isFreshLogin) throw this.#failure(error, repeatable);
          isFreshLogin = true;
          await this.#restoreLogin(seenGeneration);
          break;
        case 'throttled':
          if (tries >= throttledTries) throw this.#failure(error, repeatable);
          await pause(throttledPauseMilliseconds * 2 ** tries);
          break;
        case 'instance-dead':
          this.onInstanceDead();
          throw this.#failure(error, repeatable);
        case 'full':
        case 'refused':
        case 'caller':
        case 'other':
          throw this.#failure(error, repeatable);
      }
      onRetry?.(this.#failure(error, repeatable));
      seenGeneration = this.login.generation;
      try {
        return await run();
      } catch (next) {
        error = next;
      }
    }
  }

  async #restoreLogin(seenGeneration: number): Promise<void> {
    try {
      await this.login.restore(seenGeneration);
    } catch (error) {
      throw error instanceof ReturnValueError ? this.#failure(error, 'repeatable') : error;
    }
  }

  #failure(error: ReturnValueError, repeatable: Repeatable): HsmError {
    const hsmError = toHsmError(error, this.profile.throttled);
    // The token may have done it before it failed; whoever chose the key's id can look.
    const isUnknown = repeatable === 'once' && hsmError.code === 'ERR_HSM_UNAVAILABLE' && !mayRepeat(error, repeatable);
    if (!isUnknown) return hsmError;
    const { returnValue, pkcs11Function } = hsmError;
    return new HsmError('ERR_HSM_OUTCOME_UNKNOWN', hsmError.message, { returnValue, pkcs11Function, cause: error });
  }
}

/** A session that was dead on arrival ran nothing; one that died under the call may have. */
function mayRepeat({ returnValue }: ReturnValueError, repeatable: Repeatable): boolean {
  const isDeadOnArrival = returnValue === ck.CKR_SESSION_HANDLE_INVALID || returnValue === ck.CKR_OPERATION_ACTIVE;
  return repeatable === 'repeatable' || isDeadOnArrival;
}

/**
 * A SoftHSM token that another process is writing at that moment is taken for an uninitialised one or is not seen, and stays so
 * until C_Finalize.
 */
async function findToken({ module, token }: AgentSettings): Promise<{ native: Native; slot: SlotContent }> {
  for (let tries = 1; ; tries++) {
    const native = loadModule(module);
    try {
      return { native, slot: selectToken(native, token) };
    } catch (error) {
      const failure = closed(native, error);
      if (tries === selectionTries || !mayPass(error)) throw failure;
      await pause(selectionPauseMilliseconds * tries);
    }
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof ReturnValueError || (error instanceof HsmError && error.code !== 'ERR_HSM_TOKEN_AMBIGUOUS');
}

function describe(native: Native, content: SlotContent, profile: VendorProfile): TokenDescription {
  const { slot, label, serial, manufacturer, model, flags } = content;
  const warnings = ['CKF_USER_PIN_COUNT_LOW', 'CKF_USER_PIN_FINAL_TRY', 'CKF_USER_PIN_LOCKED'] as const;
  return {
    label,
    serial,
    manufacturer,
    model,
    vendor: profile.name,
    mechanisms: supportedNames(profile, native.mechanisms(slot)),
    pinWarnings: warnings.filter((name) => (flags & ck[name]) !== 0),
  };
}
