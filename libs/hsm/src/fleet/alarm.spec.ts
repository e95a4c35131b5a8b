import { setTimeout as pause } from 'node:timers/promises';
import { Alarm } from './alarm.js';

describe('Alarm', () => {
  const start = () => {
    const rings: number[] = [];
    const alarm = new Alarm(() => void rings.push(performance.now()));
    /** Waits for so many, and then whether another follows. */
    const rung = async (times: number) => {
      while (rings.length < times) await pause(10);
      await pause(30);
      return rings.length;
    };
    return { alarm, rings, rung, from: performance.now() };
  };

  it('rings once, at the earliest moment asked for', async () => {
    const { alarm, rings, rung, from } = start();
    for (const after of [10_000, 40, 60, 20_000]) alarm.at(from + after);
    expect(await rung(1)).toBe(1);
    // Timers count in whole milliseconds.
    expect(rings[0] - from).toBeGreaterThan(39);
  });

  it('rings again when it is asked again', async () => {
    const { alarm, rung, from } = start();
    alarm.at(from);
    expect(await rung(1)).toBe(1);
    alarm.at(from + 60);
    expect(await rung(2)).toBe(2);
  });

  it('is silent once it was stopped, even between the timer and the bell', async () => {
    const { alarm, rings, from } = start();
    alarm.at(from + 20);
    setTimeout(() => alarm.stop(), 20);
    // Both are due when the loop comes round: the timer first, then the stop, and only then the bell.
    while (performance.now() < from + 60);
    await pause(30);
    alarm.at(from);
    await pause(30);
    expect(rings).toEqual([]);
  });

  it('takes a moment that no timer can wait for', async () => {
    const { alarm, rings, from } = start();
    alarm.at(from + 2 ** 40);
    await pause(30);
    alarm.stop();
    expect(rings).toHaveLength(0);
  });
});
