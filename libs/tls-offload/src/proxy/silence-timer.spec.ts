import { jest } from '@jest/globals';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { SilenceTimer } from './silence-timer.js';

describe('a silence timer', () => {
  it('tells of a silence, once', async () => {
    const told = jest.fn();
    const timer = new SilenceTimer(5, told);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toHaveBeenCalledTimes(1);
    timer.stop();
  });

  it('tells nothing once stopped', async () => {
    const told = jest.fn();
    new SilenceTimer(1, told).stop();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(told).not.toHaveBeenCalled();
  });

  it('hears what came while the process stood still before it judges', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const near = connect((server.address() as { port: number }).port, '127.0.0.1');
    const [far] = await accepted;
    const order: string[] = [];
    const silence = new SilenceTimer(50, () => order.push('silence'));
    const heard = new Promise<void>((resolve) =>
      near.once('data', () => {
        order.push('data');
        silence.noteLife();
        resolve();
      }),
    );
    far.write('x');
    // The loop stands still past the limit: the timer is due before the byte is read.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    await heard;
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['data']);
    silence.stop();
    near.destroy();
    server.close();
  });
});
