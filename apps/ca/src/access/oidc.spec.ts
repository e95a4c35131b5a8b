import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type Grant, scopes } from '@nest-hsm/ca';
import { ApiError } from '../problem/api-error.js';
import { accessConfigSchema } from './access-config.js';
import { OidcProviders } from './oidc.js';
import { assertMayUse, principal } from './principal.js';

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

describe('what several grants give', () => {
  const asking = { scopes: ['certificates:issue', 'certificates:read'], profiles: ['tls-client'] } as const;
  const approving = { scopes: ['certificates:approve'] } as const;
  const revoking = { scopes: ['certificates:revoke'], profiles: ['tls-server'] } as const;
  const refused = (grants: readonly Grant[]): string[] =>
    scopes.flatMap((scope) =>
      ['tls-client', 'tls-server']
        .filter((profile) => {
          const holder = principal('oidc:corp:alice', ...grants);
          try {
            assertMayUse(holder, scope, profile);
            return !holder.scopes.has(scope);
          } catch (error) {
            return error instanceof ApiError && error.code === 'ERR_API_FORBIDDEN';
          }
        })
        .map((profile) => `${scope.split(':')[1]} ${profile}`),
    );

  test.each<[string, Grant[], string[]]>([
    ['an approver alone', [approving], ['issue', 'read', 'revoke', 'tokens'].flatMap((scope) => [`${scope} tls-client`, `${scope} tls-server`])],
    ['asking, bound, and approving, open', [asking, approving], ['issue tls-server', 'read tls-server', 'revoke tls-client', 'revoke tls-server', 'tokens tls-client', 'tokens tls-server']],
    ['asking, open, and revoking, bound', [{ scopes: ['certificates:issue'] }, revoking], ['read tls-client', 'read tls-server', 'revoke tls-client', 'approve tls-client', 'approve tls-server', 'tokens tls-client', 'tokens tls-server']],
    ['the same scope twice, of two profiles', [revoking, { ...revoking, profiles: ['tls-client'] }], ['issue', 'read', 'approve', 'tokens'].flatMap((scope) => [`${scope} tls-client`, `${scope} tls-server`])],
    ['nothing', [], scopes.flatMap((scope) => ['tls-client', 'tls-server'].map((profile) => `${scope.split(':')[1]} ${profile}`))],
  ])('is what each gives, and no profile of one limits another: %s', (_, grants, expected) => {
    expect(refused(grants)).toEqual(expected);
  }); // prettier-ignore
});
