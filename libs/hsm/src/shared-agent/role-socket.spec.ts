import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HsmError } from '../errors.js';
import type { RoleConfig } from './config.js';
import { RoleSocket } from './role-socket.js';

let run: string;
let directory: string;
const sockets: RoleSocket[] = [];
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'nest-hsm-run-'));
  directory = join(run, 'tls');
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
  rmSync(run, { recursive: true });
});

async function open(overrides: Partial<RoleConfig> = {}, onConnection = () => undefined): Promise<RoleSocket> {
  const role = { name: 'tls', directory, policy: [], connections: 2, callsInFlight: 1, ...overrides };
  const socket = await RoleSocket.open(role, onConnection);
  sockets.push(socket);
  return socket;
}

const modeOf = (path: string) => lstatSync(path).mode & 0o777;
const path = () => join(directory, 'agent.sock');

test('lets in nobody else, and is gone when it is closed', async () => {
  const umask = process.umask();
  const socket = await open();
  expect([modeOf(directory), modeOf(path())]).toEqual([0o700, 0o600]);
  expect(process.umask()).toBe(umask);
  socket.close();
  expect(existsSync(path())).toBe(false);
});

const gid = process.getgid?.() ?? 0;
test('of a group lets that group in and nobody else', async () => {
  await open({ gid });
  expect([modeOf(directory), modeOf(path())]).toEqual([0o710, 0o660]);
  expect([lstatSync(directory).gid, lstatSync(path()).gid]).toEqual([gid, gid]);
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;
asRoot('of another user is that user’s, also when it is opened again', async () => {
  for (let count = 0; count < 2; count++) {
    const socket = await open({ uid: 65_534 });
    expect([modeOf(directory), modeOf(path())]).toEqual([0o700, 0o600]);
    expect([lstatSync(directory).uid, lstatSync(path()).uid]).toEqual([65_534, 65_534]);
    socket.close();
  }
});

test.each<[string, () => void, RegExp]>([
  [
    'a directory that others may write in',
    () => (mkdirSync(directory), chmodSync(directory, 0o770)),
    /nobody but its owner/,
  ],
  [
    'a link for a directory',
    () => (mkdirSync(join(run, 'other')), symlinkSync('other', directory)),
    /want a directory/,
  ],
  ['a file for a directory', () => writeFileSync(directory, ''), /want a directory/],
  ['a file for a socket', () => (mkdirSync(directory), writeFileSync(path(), '')), /want a socket or nothing/],
  ['a place that others may change', () => chmodSync(run, 0o777), /nobody but its owner/],
  ['a place that is not there', () => rmSync(run, { recursive: true }), /in which a role gets its own, got ENOENT/],
])('refuses %s', async (_, prepare, message) => {
  prepare();
  const error = await open().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HsmError);
  expect(error).toMatchObject({ code: 'ERR_HSM_CONFIG_INVALID', message: expect.stringMatching(message) });
  mkdirSync(run, { recursive: true });
});

test('keeps as many as may connect waiting, the newest', async () => {
  let waiting = 0;
  const socket = await open({}, () => void waiting++);
  const clients = Array.from({ length: 3 }, () => connect(path()));
  const oldestIsGone = once(clients[0].resume(), 'close');
  while (waiting < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await oldestIsGone;
  const taken = [socket.next(), socket.next(), socket.next()];
  expect(taken.map((each) => each !== undefined)).toEqual([true, true, false]);
  for (const each of [...clients, ...taken]) each?.destroy();
});

test('tells who waits in vain why, whatever it asks, and closes', async () => {
  const socket = await open();
  const client = connect(path());
  const isClosed = once(client, 'close');
  // A request of 12 bytes: u8 verb ‖ u32 request id ‖ …
  client.write(Buffer.from([12, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  const chunks: Buffer[] = [];
  client.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.turnAway(new HsmError('ERR_HSM_PIN_LOCKED', 'locked'));
  await isClosed;
  const answer = Buffer.concat(chunks);
  // u32 length ‖ u8 error ‖ u32 request id ‖ JSON
  expect([answer.readUInt8(4), answer.readUInt32LE(5)]).toEqual([1, 7]);
  expect(answer.toString()).toContain('ERR_HSM_PIN_LOCKED');
});
