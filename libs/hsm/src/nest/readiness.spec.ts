import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getOverTls } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { answerUnready } from './readiness.js';
import { freePort } from '../../../../test/support/server-process.js';

const host = '127.0.0.1';
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-readiness-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.each(['http', 'https'] as const)('until an application serves %s, its address answers 503 so', async (scheme) => {
  const tls = scheme === 'https' ? certificate() : undefined;
  const port = await freePort();
  const ask = () =>
    tls === undefined
      ? getPlain({ host, port, path: '/health' })
      : getOverTls({ host, port, path: '/health', ca: tls.cert });
  const response = await answerUnready({ host, port, https: tls }, async () => {
    for (;;) {
      const [answer] = (await once(ask(), 'response').catch(() => [])) as [IncomingMessage?];
      if (answer !== undefined) return { status: answer.statusCode, body: JSON.parse(await text(answer)) as unknown };
      await pause(50);
    }
  });
  expect(response).toMatchObject({ status: 503, body: { status: 'error', error: { start: { status: 'down' } } } });
  // Free for the application.
  const server = createServer().listen(port, host);
  await once(server, 'listening');
  server.close();
});

function certificate(): { cert: Buffer; key: Buffer } {
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', '/CN=ca', '-addext', `subjectAltName=IP:${host}`, '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', keyFile, '-out', certFile, ...names], {
    stdio: 'pipe',
  });
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
}
