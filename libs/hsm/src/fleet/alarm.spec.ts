import { setTimeout as pause } from 'node:timers/promises';
import { Alarm } from './alarm.js';

describe('Alarm', () => {
  const start = () => {
    const rings: number[] = [];
    const alarm = new Alarm(() => void rings.push(performance.now()));
    return { alarm, rings, from: performance.now() };
  };

  it('rings once, at the earliest moment asked for', async () => {
    const { alarm, rings, from } = start();
    for (const after of [10_000, 40, 60, 20_000]) alarm.at(from + after);
    await pause(150);
    expect(rings).toHaveLength(1);
    // Timers count in whole milliseconds.
    expect(rings[0] - from).toBeGreaterThan(39);
  });

  it('rings again when it is asked again', async () => {
    const { alarm, rings, from } = start();
    alarm.at(from);
    await pause(50);
    alarm.at(from + 60);
    await pause(100);
    expect(rings).toHaveLength(2);
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
