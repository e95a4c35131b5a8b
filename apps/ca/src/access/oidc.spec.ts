import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { accessConfigSchema } from './access-config.js';
import { OidcProviders } from './oidc.js';

const issuer = 'https://provider.example';

describe('an OpenID Connect provider whose keys cannot be had', () => {
  let server: Server;
  let listener: RequestListener;
  beforeEach(async () => {
    server = createServer((request, response) => listener(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function authenticate(): Promise<unknown> {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] });
    const answer = listener;
    listener = (request, response) => {
      response.setHeader('x-keys', Buffer.from(keys).toString('base64'));
      answer(request, response);
    };
    const { port } = server.address() as AddressInfo;
    const { oidc } = accessConfigSchema.parse({
      oidc: [
        {
          name: 'corp',
          issuer,
          audience: 'ca',
          jwksUri: `http://127.0.0.1:${port}/keys`,
          grants: [{ claim: 'groups', value: 'pki', scopes: ['certificates:read'] }],
        },
      ],
    });
    const token = await new SignJWT({ sub: 'alice', groups: ['pki'] })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setIssuer(issuer)
      .setAudience('ca')
      .setExpirationTime('5m')
      .sign(privateKey);
    return new OidcProviders(oidc).authenticate(token);
  }

  test('that answers is believed', async () => {
    listener = (_, response) => response.end(Buffer.from(String(response.getHeader('x-keys')), 'base64'));
    await expect(authenticate()).resolves.toMatchObject({ requester: 'oidc:corp:alice' });
  });

  test.each<[string, RequestListener]>([
    ['hangs up', (request) => request.socket.destroy()],
    ['says 500', (_, response) => response.writeHead(500).end()],
    ['says noise', (_, response) => response.end('noise')],
    ['says too much', (_, response) => response.end(Buffer.alloc(8 * 1024 * 1024, 0x20))],
  ])('and that %s is an identity provider that is away, not a token that is refused', async (_, answer) => {
    listener = answer;
    await expect(authenticate()).rejects.toMatchObject({ code: 'ERR_API_IDENTITY_PROVIDER' });
  });
});
