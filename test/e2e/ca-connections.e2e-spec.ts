import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { CaHome, CaService } from '../support/ca-service.js';
import { eventually } from '../support/eventually.js';

const stalledMilliseconds = 2_500;
/** Answers of some 2 kB each: far more than the buffers between two processes hold. */
const requests = 20_000;

let home: CaHome;
let service: CaService;
beforeAll(async () => {
  home = new CaHome();
  service = await CaService.spawnImpatient(home, stalledMilliseconds).listening();
});
afterAll(async () => {
  await service.stop();
  home.remove();
});

function connected(): Socket {
  const { hostname, port } = new URL(service.url);
  // What is written to one that is cut off fails: its end is what the tests look at.
  return connect({ host: hostname, port: Number(port) }).on('error', () => undefined);
}

const answersIn = (received: string): number => received.split('HTTP/1.1 200 OK').length - 1;
const get = 'GET /v1/ca/chain.pem HTTP/1.1\r\nhost: ca\r\n\r\n';

test('a client that takes nothing of its answers is cut off, with most of them unsent', async () => {
  const socket = connected();
  await once(socket, 'connect');
  socket.pause();
  socket.write(get.repeat(requests));
  // Nothing is read, so nothing is heard of the end either: it is found when the reading begins.
  await pause(stalledMilliseconds * 3);
  let received = '';
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1'))).resume();
  await closed;
  expect(answersIn(received)).toBeLessThan(requests / 2);
});

test('one that asks for nothing is cut off as well, and one that goes on asking is not', async () => {
  const [silent, talking] = [connected(), connected()];
  let received = '';
  talking.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  let isCut = false;
  silent.resume().on('close', () => (isCut = true));
  let asked = 0;
  while (!isCut) {
    talking.write(get);
    asked += 1;
    await pause(100);
  }
  await eventually(() => answersIn(received) === asked);
  expect(talking.readyState).toBe('open');
  expect(asked).toBeGreaterThan(1);
  talking.destroy();
});

test('what was half asked when the service is told to end is answered, and the connection ends with it', async () => {
  await service.stop();
  service = await CaService.start(home);
  const socket = connected();
  let received = '';
  const closed = once(socket, 'close');
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  const [half, rest] = [get.slice(0, -2), get.slice(-2)];
  socket.write(get + half);
  await eventually(() => answersIn(received) === 1);
  service.process.kill('SIGTERM');
  await eventually(isRefused);
  socket.write(rest);
  await closed;
  expect(answersIn(received)).toBe(2);
  expect(received).toMatch(/connection: close/i);
  expect(await service.exited).toEqual({ code: null, signal: 'SIGTERM' });
});

async function isRefused(): Promise<boolean> {
  const socket = connected();
  return new Promise((resolve) => {
    socket.once('close', () => resolve(true));
    socket.once('connect', () => {
      resolve(false);
      socket.destroy();
    });
  });
}
