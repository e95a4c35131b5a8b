import { HsmError } from '../../../errors.js';
import { Call } from '../call.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotHandle } from './native.js';
import { SessionPool } from './session-pool.js';

/** Hands out numbered sessions and remembers which were closed; stands in for the token to inject what it returns. */
class StubNative {
  readonly closed: number[] = [];
  opened = 0;
  /** Sessions the token has. */
  limit = Infinity;
  openError: Error | undefined;

  openSession(): SessionHandle {
    if (this.openError) throw this.openError;
    if (this.opened - this.closed.length >= this.limit)
      throw new ReturnValueError(ck.CKR_SESSION_COUNT, 'C_OpenSession');
    return Buffer.of(++this.opened) as SessionHandle;
  }

  closeSession(session: SessionHandle): void {
    this.closed.push(session[0]);
  }
}

let stub: StubNative;
const poolOf = (maximum: number) => new SessionPool(stub as unknown as Native, Buffer.alloc(8) as SlotHandle, maximum);
const call = () => new Call(60_000, '');
beforeEach(() => {
  stub = new StubNative();
});

/** Work that ends when told to. */
function held<T>() {
  const sessions: number[] = [];
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((...settle) => ([resolve, reject] = settle));
  const work = (session: SessionHandle): Promise<T> => {
    sessions.push(session[0]);
    return promise;
  };
  return { work, sessions, resolve, reject };
}

test('sessions are opened as needed, never beyond the maximum, and used again', async () => {
  const pool = poolOf(2);
  for (let turn = 0; turn < 5; turn++) await pool.withSession(call(), () => undefined);
  expect(stub.opened).toBe(1);
  const first = held<void>();
  const running = Array.from({ length: 6 }, () => pool.withSession(call(), first.work));
  await Promise.resolve();
  expect(first.sessions).toHaveLength(2);
  first.resolve();
  await Promise.all(running);
  expect(first.sessions).toHaveLength(6);
  expect(stub.opened).toBe(2);
});

test('those who wait are served in order, each alone on its session', async () => {
  const pool = poolOf(1);
  const order: number[] = [];
  let inside = 0;
  const calls = Array.from({ length: 10 }, (_, index) =>
    pool.withSession(call(), async () => {
      expect(++inside).toBe(1);
      await Promise.resolve();
      order.push(index);
      inside--;
    }),
  );
  await Promise.all(calls);
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

const tokenFault = new ReturnValueError(ck.CKR_GENERAL_ERROR, 'C_Sign');

test.each([
  ['what the token returned', tokenFault],
  ['an error of ours that the token caused', new HsmError('ERR_HSM_DECRYPTION_FAILED', '', { cause: tokenFault })],
  ['a bug', new TypeError('oops')],
])('after %s the session is closed, and who waits gets a fresh one', async (_name, error) => {
  const pool = poolOf(1);
  const failing = held<void>();
  const failed = expect(pool.withSession(call(), failing.work)).rejects.toBe(error);
  const next = pool.withSession(call(), (session) => session[0]);
  failing.reject(error);
  await failed;
  expect(await next).toBe(2);
  expect(stub.closed).toEqual([1]);
});

test('after a refusal of ours the session is used again', async () => {
  const pool = poolOf(1);
  const refusal = new HsmError('ERR_HSM_KEY_UNSAFE', 'refused');
  await expect(pool.withSession(call(), () => Promise.reject(refusal))).rejects.toBe(refusal);
  expect(await pool.withSession(call(), (session) => session[0])).toBe(1);
  expect(stub.closed).toEqual([]);
});

test('who gave up, or whose deadline passed, is not served', async () => {
  const pool = poolOf(1);
  const first = held<void>();
  const running = pool.withSession(call(), first.work);
  const cancelled = new Call(60_000, '');
  const late = new Call(1, '');
  let served = 0;
  const work = () => void served++;
  const refused = [
    expect(pool.withSession(cancelled, work)).rejects.toMatchObject({ code: 'ERR_HSM_ABORTED' }),
    expect(pool.withSession(late, work)).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT', retryable: true }),
  ];
  const next = pool.withSession(call(), (session) => session[0]);
  cancelled.cancel();
  await new Promise((resolve) => setTimeout(resolve, 5));
  first.resolve();
  await running;
  await Promise.all(refused);
  expect(served).toBe(0);
  expect(await next).toBe(1);
});

test('a token with fewer sessions than configured is lived with', async () => {
  stub.limit = 2;
  const pool = poolOf(4);
  const first = held<void>();
  const running = Array.from({ length: 4 }, () => pool.withSession(call(), first.work));
  await Promise.resolve();
  expect(first.sessions).toHaveLength(2);
  first.resolve();
  await Promise.all(running);
});

test('a token with no session left says so', async () => {
  stub.limit = 0;
  await expect(poolOf(4).withSession(call(), () => undefined)).rejects.toMatchObject({
    returnValue: ck.CKR_SESSION_COUNT,
  });
});

test('all who wait learn that no fresh session can be had', async () => {
  const pool = poolOf(1);
  const failing = held<void>();
  const failed = expect(pool.withSession(call(), failing.work)).rejects.toBe(tokenFault);
  const waiting = [1, 2, 3].map(() => pool.withSession(call(), () => undefined));
  const gone = new ReturnValueError(ck.CKR_DEVICE_REMOVED, 'C_OpenSession');
  stub.openError = gone;
  failing.reject(tokenFault);
  await failed;
  for (const each of await Promise.allSettled(waiting)) expect(each).toEqual({ status: 'rejected', reason: gone });
});

test('closeIdle closes what nobody uses', async () => {
  const pool = poolOf(3);
  const first = held<void>();
  const running = [1, 2, 3].map(() => pool.withSession(call(), first.work));
  first.resolve();
  await Promise.all(running);
  pool.closeIdle();
  expect(stub.closed).toEqual(expect.arrayContaining([1, 2, 3]));
  expect(await pool.withSession(call(), (session) => session[0])).toBe(4);
});

test('more than can wait are refused', async () => {
  const pool = poolOf(1);
  const first = held<void>();
  const running = pool.withSession(call(), first.work);
  const waiting = Array.from({ length: 8_192 }, () => pool.withSession(call(), () => undefined));
  await expect(pool.withSession(call(), () => undefined)).rejects.toMatchObject({
    code: 'ERR_HSM_OVERLOADED',
    retryable: true,
  });
  first.resolve();
  await Promise.all([running, ...waiting]);
});
