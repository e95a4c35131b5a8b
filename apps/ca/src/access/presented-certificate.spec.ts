import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyRequest } from 'fastify';
import { PresentedCertificate } from './presented-certificate.js';

describe('a client certificate in the header of a TLS terminator (RFC 9440)', () => {
  let certificate: X509Certificate;
  beforeAll(() => {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-terminator-'));
    const [key, file] = ['key.pem', 'certificate.pem'].map((name) => join(directory, name));
    const options = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-subj',
      '/CN=a',
    ];
    execFileSync('openssl', ['req', '-x509', ...options, '-days', '1', '-out', file], { stdio: 'pipe' });
    certificate = new X509Certificate(readFileSync(file));
    rmSync(directory, { recursive: true });
  });

  /** What is found of a request that comes from this host. */
  async function presented(terminators: string[], header?: string): Promise<string | undefined> {
    const finder = new PresentedCertificate(terminators);
    let found: X509Certificate | undefined;
    const server = createServer((raw, response) => {
      found = finder.of({ headers: raw.headers, raw } as FastifyRequest);
      response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      await fetch(`http://127.0.0.1:${port}/`, { headers: header === undefined ? {} : { 'client-cert': header } });
    } finally {
      server.close();
    }
    return found?.fingerprint256;
  }
  const own = (): string => `:${certificate.raw.toString('base64')}:`;

  test.each([[['127.0.0.1']], [['192.0.2.0/24', '127.0.0.0/8']]])(
    'is that of whom the terminator %j speaks for',
    async (terminators) => {
      expect(await presented(terminators, own())).toBe(certificate.fingerprint256);
    },
  );

  test.each([
    ['from somebody else', ['192.0.2.0/24'], own],
    ['where nobody is trusted', [], own],
    ['without colons', ['127.0.0.1'], () => own().slice(1, -1)],
    ['of noise', ['127.0.0.1'], () => ':bm9pc2U=:'],
    ['of a list', ['127.0.0.1'], () => `${own()}, ${own()}`],
    ['that is not there', ['127.0.0.1'], () => undefined],
  ])('counts for nothing %s', async (_, terminators, header) => {
    expect(await presented(terminators, header())).toBeUndefined();
  });
});

test('the certificate of a connection is found on any socket with the face of a TLSSocket, and on no other', () => {
  const certificate = {} as X509Certificate;
  const request = (face: object): FastifyRequest =>
    ({ headers: {}, raw: { socket: { remoteAddress: '192.0.2.1', ...face } } }) as unknown as FastifyRequest;
  const finder = new PresentedCertificate(['127.0.0.1']);
  expect(finder.of(request({ getPeerX509Certificate: () => certificate }))).toBe(certificate);
  expect(finder.of(request({}))).toBeUndefined();
});
