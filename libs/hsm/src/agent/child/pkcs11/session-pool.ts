/**
 * The sessions of one login, at most as many as configured.
 *
 * The concurrency rule: a PKCS#11 session holds one active operation, so an operation owns its session from *Init to its
 * end, and nothing else touches that session meanwhile. `withSession` is the only way to one. A session on which a call
 * failed is closed and never returned: a fault between C_SignInit and C_Sign leaves it at CKR_OPERATION_ACTIVE for ever.
 */
import { HsmError } from '../../../errors.js';
import type { Call } from '../call.js';
import { FairQueue } from '../fair-queue.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotHandle } from './native.js';

/** Calls of one role waiting for a session beyond which one is refused; applications keep a smaller limit of their own. */
const maximumWaiting = 8_192;

interface Waiter {
  readonly call: Call;
  readonly resolve: (session: SessionHandle) => void;
  readonly reject: (error: unknown) => void;
}

export class SessionPool {
  readonly #idle: SessionHandle[] = [];
  readonly #waiting = new FairQueue<Waiter>(({ call }) => call);
  #open = 0;

  constructor(
    private readonly native: Native,
    private readonly slot: SlotHandle,
    private readonly maximum: number,
  ) {}

  /**
   * Runs `work` on a session of its own.
   * @throws {HsmError} ERR_HSM_OVERLOADED | ERR_HSM_TIMEOUT | ERR_HSM_ABORTED, all before the token was asked
   * @throws {ReturnValueError} what the token answered; the session is closed then
   */
  withSession<T>(call: Call, work: (session: SessionHandle) => Promise<T> | T): Promise<T> {
    try {
      const acquired = this.#acquire(call);
      if (acquired instanceof Promise) return acquired.then((session) => this.#occupy(call, session, work));
      return this.#occupy(call, acquired, work);
    } catch (error) {
      return rejected(error);
    }
  }

  /** Closes the sessions nobody uses: after one was found dead the others may be too. */
  closeIdle(): void {
    for (const session of this.#idle.splice(0)) this.#close(session);
  }

  /** One reaction to what becomes of the work, since every signature has it. */
  #occupy<T>(call: Call, session: SessionHandle, work: (session: SessionHandle) => Promise<T> | T): Promise<T> {
    return started(work, session).then(
      (result) => {
        call.leaveToken();
        this.#release(session);
        return result;
      },
      (error: unknown) => {
        call.leaveToken();
        if (leavesDoubt(error)) this.#discard(session);
        else this.#release(session);
        throw error;
      },
    );
  }

  /** The call has entered the token when it has its session. */
  #acquire(call: Call): Promise<SessionHandle> | SessionHandle {
    call.throwIfOver();
    const idle = this.#idle.pop() ?? this.#openOne();
    if (idle) {
      call.enterToken();
      return idle;
    }
    if (this.#waiting.lengthOf(call.caller.role) >= maximumWaiting) {
      throw new HsmError('ERR_HSM_OVERLOADED', `want at most ${maximumWaiting} calls waiting for a session`, {
        retryable: true,
      });
    }
    return new Promise((resolve, reject) => {
      const waiter = { call, resolve, reject };
      this.#waiting.push(waiter);
      // What a client that went left behind must not grow until its turn comes.
      call.onCancel = () => {
        if (this.#waiting.remove(waiter)) rejectIfOver(waiter);
      };
    });
  }

  /** @returns undefined when there are as many as there may be */
  #openOne(): SessionHandle | undefined {
    if (this.#open >= this.maximum) return undefined;
    try {
      const session = this.native.openSession(this.slot);
      this.#open++;
      return session;
    } catch (error) {
      // The token has fewer sessions than configured: live with those we have.
      const isFull = error instanceof ReturnValueError && error.returnValue === ck.CKR_SESSION_COUNT;
      if (isFull && this.#open > 0) return undefined;
      throw error;
    }
  }

  #release(session: SessionHandle): void {
    const next = this.#nextWaiter();
    if (!next) return void this.#idle.push(session);
    // At once: whoever is next but one is chosen by who has a session then.
    next.call.enterToken();
    next.resolve(session);
  }

  #discard(session: SessionHandle): void {
    this.#close(session);
    while (!this.#waiting.isEmpty) {
      try {
        const fresh = this.#openOne();
        if (fresh) this.#release(fresh);
        return;
      } catch (error) {
        this.#nextWaiter()?.reject(error);
        // Whoever ends on another session wakes the rest; when this was the last one, nobody would.
        if (this.#open > 0) return;
      }
    }
  }

  #nextWaiter(): Waiter | undefined {
    for (let waiter = this.#waiting.shift(); waiter; waiter = this.#waiting.shift()) {
      if (!rejectIfOver(waiter)) return waiter;
    }
    return undefined;
  }

  #close(session: SessionHandle): void {
    this.#open--;
    try {
      this.native.closeSession(session);
    } catch {
      // It was dead already.
    }
  }
}

function started<T>(work: (session: SessionHandle) => Promise<T> | T, session: SessionHandle): Promise<T> {
  try {
    const result = work(session);
    return result instanceof Promise ? result : Promise.resolve(result);
  } catch (error) {
    return rejected(error);
  }
}

function rejected(error: unknown): Promise<never> {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what was thrown is passed on as it is
  return Promise.reject(error);
}

/** @returns whether nobody waits for it any more */
function rejectIfOver({ call, reject }: Waiter): boolean {
  try {
    call.throwIfOver();
    return false;
  } catch (error) {
    reject(error);
    return true;
  }
}

/** A refusal of ours came before or after the operation; whatever the token answered leaves its session in doubt. */
function leavesDoubt(error: unknown): boolean {
  return !(error instanceof HsmError) || error.cause instanceof ReturnValueError;
}
