/** `nest-hsm agent` with two sidecars that share its login and the key of one certificate. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { Application } from '../support/application.js';
import { childrenOf, exists } from '../support/processes.js';

const run = promisify(execFile);

let device: VirtualHsm;
let ca: OpensslCa;
let upstream: Server;
let socket: string;
const applications: Application[] = [];

beforeAll(async () => {
  device = new VirtualHsm('tls');
  ca = new OpensslCa();
  await ca.listen();
  upstream = createServer((_, response) => response.end('from upstream'));
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  mkdirSync(join(device.token.directory, 'run'));
  socket = join(device.token.directory, 'run', 'workers', 'agent.sock');
});
afterAll(async () => {
  await Promise.all(applications.map((application) => application.stop()));
  upstream.closeAllConnections();
  upstream.close();
  await ca.stop();
  ca.remove();
  device.remove();
});

function start(app: string, document: object, ...command: string[]): Application {
  const file = join(device.token.directory, `${app}-${applications.length}.yaml`);
  writeFileSync(file, stringify(document));
  const application = new Application(app, file, ...command);
  applications.push(application);
  return application;
}

function agentConfig(operations: string[]): object {
  const { name: _, ...token } = device.member({ sessions: 4 });
  const policy = [{ label: 'sidecar', operations }];
  const roles = [{ name: 'workers', directory: join(device.token.directory, 'run', 'workers'), policy }];
  return { agent: { ...token, stateDirectory: join(device.token.directory, 'agent'), roles } };
}

/** @returns the port that it listens on */
async function startSidecar(): Promise<number> {
  const { port } = upstream.address() as AddressInfo;
  const { url, tokenFile } = ca;
  const certificateFile = join(device.token.directory, 'sidecar.pem');
  const sidecar = start('tls-sidecar', {
    listeners: [{ listen: { port: 0 }, l4: { upstream: { host: '127.0.0.1', port } } }],
    hsm: {
      name: 'tls',
      members: [{ name: 'shared', socket }],
      stateDirectory: join(device.token.directory, 'sidecar'),
    },
    certificates: [{ ca: { url, tokenFile, dnsNames: ['localhost'], keyLabel: 'sidecar', certificateFile } }],
    admin: { port: 0 },
  });
  const listens = /TLS on 127\.0\.0\.1:(\d+)/;
  await sidecar.says(listens);
  return Number(listens.exec(sidecar.output)?.[1]);
}

test('sidecars share a login and a key, and go on when the agent is killed or its policy changed', async () => {
  const agent = start('cli', agentConfig(['find', 'sign', 'generate']), 'agent');
  await agent.says(/^ready: workers at .*agent\.sock$/m);
  const ports = [await startSidecar(), await startSidecar()];
  expect(ca.requests).toHaveLength(1);
  expect(device.calls('C_Login')).toBe(1);
  await greet(ports);

  const [killed] = childrenOf(agent.process.pid as number);
  process.kill(killed, 'SIGKILL');
  await greet(ports);
  expect(device.calls('C_Login')).toBe(2);

  const file = join(device.token.directory, 'cli-0.yaml');
  writeFileSync(file, 'agent: {}');
  agent.process.kill('SIGHUP');
  await agent.says(/ERR_CLI_CONFIG: .*roles.*; goes on as before/);
  writeFileSync(file, stringify(agentConfig(['find', 'sign'])));
  agent.process.kill('SIGHUP');
  await agent.says(/configuration read again/);
  await greet(ports);
  expect(device.calls('C_Login')).toBe(3);

  const [last] = childrenOf(agent.process.pid as number);
  expect(await agent.stop()).toBe(0);
  expect([exists(last), existsSync(socket)]).toEqual([false, false]);
  expect(agent.output).not.toContain(device.token.pin);
});

test('that cannot start says why, once', async () => {
  writeFileSync(device.token.pinFile, '000000');
  const agent = start('cli', agentConfig(['sign']), 'agent');
  while (agent.process.exitCode === null) await pause(20);
  expect(agent.process.exitCode).toBe(1);
  expect(agent.output).toMatch(/^nest-hsm: ERR_HSM_PIN_INCORRECT: .*$/m);
  expect(agent.output).not.toMatch(/ready|000000/);
  expect(existsSync(socket)).toBe(false);
});

async function greet(ports: readonly number[]): Promise<void> {
  const requests = ports.flatMap((port) => Array.from({ length: 2 }, () => `https://localhost:${port}/`));
  const trust = ['--silent', '--show-error', '--max-time', '20', '--cacert', ca.rootFile];
  const answers = await Promise.all(requests.map((url) => run('curl', [...trust, url])));
  expect(answers.map(({ stdout }) => stdout)).toEqual(requests.map(() => 'from upstream'));
}
