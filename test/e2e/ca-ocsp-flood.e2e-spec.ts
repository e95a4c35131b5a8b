import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';
import { eventually } from '../support/eventually.js';

const tryLater = '30030a0103';
const flooders = 40;

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

describe('a flood of OCSP requests, on an HSM that makes one signature at a time', () => {
  const device = new VirtualHsm('ocsp-flood');
  const agent = new Agent({ keepAlive: true, maxSockets: flooders });
  let home: CaHome;
  let service: CaService;
  /** One certificate's request with a nonce, one that is kept for everybody, and one that nobody has asked for. */
  let withNonce: Buffer;
  let plain: Buffer;
  let unasked: Buffer;

  beforeAll(async () => {
    home = new CaHome({
      hsm: device.config({ sessions: 1, audit: { directory: join(device.token.directory, 'audit') } }),
      ocsp: { presign: 'asked' },
      ocspLimit: { signatures: 1_000_000, seconds: 60 },
    });
    service = await CaService.start(home);
    home.file('issuing.pem', await (await service.get('/v1/ca/issuing.pem')).text());
    const [one, other] = [await issue(), await issue()];
    withNonce = requestFor(one, '-nonce');
    plain = requestFor(one, '-no_nonce');
    unasked = requestFor(other, '-no_nonce');
  });

  afterAll(async () => {
    agent.destroy();
    await service?.stop();
    home?.remove();
    device.remove();
  });

  async function issue(): Promise<string> {
    const response = await service.post(buildCsr(), 'application/pkcs10');
    return ((await response.json()) as { serial: string }).serial;
  }

  function requestFor(serial: string, nonce: '-nonce' | '-no_nonce'): Buffer {
    const file = home.file('request.der');
    run('openssl', 'ocsp', '-issuer', home.file('issuing.pem'), '-serial', `0x${serial}`, nonce, '-reqout', file);
    return readFileSync(file);
  }

  /** @param localAddress  the asker's */
  function ask(body: Buffer, localAddress: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/ocsp-request' };
      const sent = request(`${service.url}/v1/ocsp`, { method: 'POST', agent, localAddress, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject).on('end', () => {
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, retryAfter: answered['retry-after'], body: Buffer.concat(chunks) });
        });
      });
      sent.on('error', reject).end(body);
    });
  }

  const isSigned = ({ body }: Answer): boolean => body.length > 200;

  test('turns the flood away beyond what it may have, while others are answered and certificates issued', async () => {
    device.delay('C_Sign', 5);
    const count = { signed: 0, later: 0 };
    let isOver = false;
    const flood = Promise.all(
      Array.from({ length: flooders }, async () => {
        while (!isOver) {
          const answer = await ask(withNonce, '127.0.0.1');
          if (isSigned(answer)) count.signed += 1;
          else {
            expect([answer.status, answer.retryAfter, answer.body.toString('hex')]).toEqual([200, '1', tryLater]);
            count.later += 1;
          }
        }
      }),
    );
    await eventually(() => count.signed > 20 && count.later > 20);
    for (const body of [withNonce, unasked]) expect(isSigned(await ask(body, '127.0.0.2'))).toBe(true);
    expect(await issue()).toMatch(/^[0-9a-f]{32}$/);
    const before = count.signed;
    await eventually(() => count.signed > before + 20);
    isOver = true;
    await flood;
    device.delay('C_Sign', 0);
    // Every place is free again: as many at once as ever are served one asker.
    const served = await Promise.all(Array.from({ length: 10 }, () => ask(withNonce, '127.0.0.1')));
    expect(served.filter(isSigned)).toHaveLength(10);
  });

  test('without its HSM tells everybody to try later, but whoever asks for what is signed already', async () => {
    const { body } = await ask(plain, '127.0.0.1');
    device.powerOff();
    const answer = await ask(withNonce, '127.0.0.1');
    expect([answer.status, answer.retryAfter, answer.body.toString('hex')]).toEqual([200, '5', tryLater]);
    expect((await ask(plain, '127.0.0.1')).body).toEqual(body);
    device.powerOn();
    await eventually(async () => isSigned(await ask(withNonce, '127.0.0.1')));
  });
});
