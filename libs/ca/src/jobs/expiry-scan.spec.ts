import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { ExpiryNotice } from './expiry-notice.js';
import { scanExpiries } from './expiry-scan.js';
import { Webhook, webhookConfigSchema } from './webhook.js';

const day = 86_400_000;

describe('the scan for certificates that expire', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  let notices: ExpiryNotice[];
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await ca.open();
    notices = [];
  });
  afterEach(() => ca.remove());

  const scan = (webhook?: Webhook): Promise<void> =>
    scanExpiries({
      expiries: ca.stores.expiries,
      noticeDays: [30, 7],
      webhook,
      observer: { expiring: (notice) => void notices.push(notice) },
      now: () => ca.now,
      issuers: () => authority.generations.map(({ issuer }) => issuer),
    });
  const told = (): [number, string[]][] =>
    notices.map(({ withinDays, certificates }) => [withinDays, certificates.map(({ serial }) => serial)]);
  const later = (days: number): void => void (ca.now = new Date(ca.now.getTime() + days * day));

  test('tells of each certificate once for each distance, and of none that is far, revoked or expired', async () => {
    await scan();
    const [kept, revoked] = [
      await authority.issue(buildCsr(), 'tls-server'),
      await authority.issue(buildCsr(), 'tls-server'),
    ];
    await authority.status.revoke(revoked.serial);
    await scan();
    expect(told()).toEqual([]);
    later(61);
    await scan();
    await scan();
    expect(told()).toEqual([[30, [kept.serial]]]);
    later(23);
    await scan();
    later(10);
    await scan();
    expect(told()).toEqual([[30, [kept.serial]], [7, [kept.serial]]]); // prettier-ignore
  });

  test('goes through many a hundred at a time, and a notice that was not taken comes again with the same id', async () => {
    await scan();
    for (let made = 0; made < 130; made += 1) await authority.issue(buildCsr(), 'tls-server');
    later(61);
    let isDown = true;
    const attempts: string[] = [];
    const webhook = {
      deliver: async (id: string) => {
        attempts.push(id);
        if (isDown && attempts.length > 1) throw new Error('down');
        return Promise.resolve();
      },
    } as unknown as Webhook;
    await expect(scan(webhook)).rejects.toThrow('down');
    isDown = false;
    await scan(webhook);
    expect(attempts[2]).toBe(attempts[1]);
    const serials = told().flatMap(([, each]) => each);
    expect([serials.length, new Set(serials).size]).toEqual([130, 130]);
  });

  test("tells of the CA's own certificates", async () => {
    await scan();
    const { notAfter } = authority.issuer.certificate.validity;
    ca.now = new Date(notAfter.getTime() - 20 * day);
    await scan();
    const row = await ca.stores.certificates.findAuthority(authority.issuer.id);
    expect(told()).toContainEqual([30, [row?.serial]]);
  });
});

describe('the webhook', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-webhook-'));
  const secret = randomBytes(32);
  const secretFile = join(directory, 'secret');
  writeFileSync(secretFile, `whsec_${secret.toString('base64')}\n`);
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Answers with these codes, one after the other. */
  async function receiver(
    codes: number[],
  ): Promise<{ server: Server; url: string; requests: [IncomingMessage, string][] }> {
    const requests: [IncomingMessage, string][] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        requests.push([request, body]);
        response.writeHead(codes.shift() ?? 204, { location: '/elsewhere' }).end();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, requests };
  }
  const webhookTo = (url: string): Webhook => Webhook.of(webhookConfigSchema.parse({ url, secretFile }));

  test('is signed as Standard Webhooks say, and tried again when it is not taken', async () => {
    const { server, url, requests } = await receiver([503]);
    await webhookTo(url).deliver('id-1', { type: 'certificates.expiring' });
    expect(requests).toHaveLength(2);
    for (const [{ headers, method }, body] of requests) {
      const mac = createHmac('sha256', secret)
        .update(`id-1.${String(headers['webhook-timestamp'])}.${body}`)
        .digest('base64');
      expect([method, headers['webhook-id'], headers['webhook-signature']]).toEqual(['POST', 'id-1', `v1,${mac}`]);
    }
    server.close();
  });

  test('gives up after three attempts, and follows no redirect', async () => {
    const { server, url, requests } = await receiver([302, 302, 302]);
    await expect(webhookTo(url).deliver('id-2', {})).rejects.toMatchObject({ code: 'ERR_CA_WEBHOOK_FAILED' });
    expect(requests.map(([request]) => request.url)).toEqual(['/hook', '/hook', '/hook']);
    server.close();
  });

  test.each([
    ['http to another host', 'http://collector.example.test/'],
    ['a password in the URL', 'https://user:secret@collector.example.test/'],
    ['another protocol', 'file:///etc/passwd'],
    ['what is no URL', 'collector.example.test'],
  ])('refuses %s', (_, url) => {
    expect(webhookConfigSchema.safeParse({ url, secretFile }).success).toBe(false);
  });

  test.each([
    ['that is missing', undefined],
    ['without whsec_', secret.toString('base64')],
    ['that is short', `whsec_${Buffer.alloc(8).toString('base64')}`],
  ])('refuses a secret %s', (_, content) => {
    const file = join(directory, 'bad-secret');
    if (content !== undefined) writeFileSync(file, content);
    const config = webhookConfigSchema.parse({ url: 'https://collector.example.test/', secretFile: file });
    expect(() => Webhook.of(config)).toThrow(expect.objectContaining({ code: 'ERR_CA_CONFIG_INVALID' }) as Error);
  });
});
