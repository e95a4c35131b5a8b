/**
 * Keeps a number of calls going at once for a while, each caller making its next one when the last is answered.
 * @returns how many were answered and in how many seconds
 */
export async function keepCalling(
  callers: number,
  seconds: number,
  call: (caller: number) => Promise<unknown>,
): Promise<{ calls: number; seconds: number }> {
  let calls = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const loop = async (caller: number) => {
    while (performance.now() < end) {
      await call(caller);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)));
  return { calls, seconds: (performance.now() - start) / 1000 };
}
