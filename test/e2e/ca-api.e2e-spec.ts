import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, SignJWT } from 'jose';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { buildCsr, commonName, dns, ecKey, extensionRequest, subjectAltName, toPem } from '../support/csr.js';
import { eventually } from '../support/eventually.js';
import { childrenOf } from '../support/processes.js';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
}

const csrFor = (name: string, key = ecKey('P-256')): string =>
  toPem(buildCsr({ key, subject: commonName(name), attributes: [extensionRequest(subjectAltName(dns(name)))] }));

let home: CaHome;
let service: CaService;
let provider: ChildProcess;
let signJwt: (
  claims: Record<string, unknown>,
  changes?: { issuer?: string; audience?: string; expires?: string },
) => Promise<string>;

beforeAll(async () => {
  home = new CaHome();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] });
  // A process of its own: curl keeps this one waiting.
  const serve = `require('http').createServer((_, answer) => answer.end(process.argv[1]))
    .listen(0, '127.0.0.1', function () { console.log(this.address().port); })`;
  provider = spawn(process.execPath, ['-e', serve, keys], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(provider.stdout ?? provider, 'data')) as [Buffer];
  const issuer = `http://127.0.0.1:${port.toString().trim()}`;
  signJwt = (claims, { issuer: iss = issuer, audience = 'nest-hsm-ca', expires = '5m' } = {}) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(iss)
      .setAudience(audience)
      .setExpirationTime(expires)
      .sign(privateKey);

  selfSigned('foreign-ca', ['-subj', '/CN=Foreign CA', '-addext', 'basicConstraints=critical,CA:TRUE']);
  for (const name of ['pinned', 'unknown'])
    selfSigned(name, ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:FALSE']);
  signedBy('foreign-ca', 'agent', 'URI:spiffe://example.test/agent');
  signedBy('foreign-ca', 'stranger', 'URI:spiffe://example.test/stranger');
  selfSigned('server', ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']);
  const pinned = new X509Certificate(run('cat', home.file('pinned.pem')));

  home.configure({
    hsm: home.token.config({ deadlineMilliseconds: 1_500, audit: home.audit }),
    listen: { port: 0, tls: { certificateFile: home.file('server.pem'), keyFile: home.file('server.key') } },
    profiles: {
      'tls-server': {},
      'tls-client': {},
      approved: { extends: 'tls-server', approval: true },
    },
    access: {
      clients: [
        { name: 'pinned', certificate: { sha256: pinned.fingerprint256 }, scopes: ['certificates:read'] },
        {
          name: 'agent',
          certificate: { issuerFile: home.file('foreign-ca.pem'), name: 'uri:spiffe://example.test/agent' },
          scopes: ['certificates:issue'],
          profiles: ['tls-client'],
        },
        {
          name: 'unrevocable',
          // There is no such CRL, so that nobody is let in.
          certificate: {
            issuerFile: home.file('foreign-ca.pem'),
            crlFile: home.file('missing.crl'),
            name: 'uri:spiffe://example.test/stranger',
          },
          scopes: ['certificates:issue'],
        },
      ],
      oidc: [
        {
          name: 'corp',
          issuer,
          audience: 'nest-hsm-ca',
          jwksUri: `${issuer}/keys`,
          grants: [
            { claim: ['realm', 'roles'], value: 'pki', scopes: ['certificates:issue', 'certificates:read'] },
            { claim: 'groups', value: 'approvers', scopes: ['certificates:approve'] },
          ],
        },
      ],
    },
  });
  service = await CaService.start(home);
});

/** While curl runs nobody reads what the service says, and a service whose pipe is full waits. */
beforeEach(() => new Promise((resolve) => setTimeout(resolve, 20)));

afterAll(async () => {
  await service?.stop();
  provider?.kill();
  home?.remove();
});

function selfSigned(name: string, extra: string[]): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', home.file(`${name}.key`)];
  run('openssl', 'req', '-x509', ...key, '-days', '2', '-out', home.file(`${name}.pem`), ...extra);
}

function signedBy(issuer: string, name: string, san: string): void {
  const csr = home.opensslCsr(name, ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ['-subj', `/CN=${name}`]);
  const extensions = home.file(`${name}.cnf`, `subjectAltName=${san}\nextendedKeyUsage=clientAuth\n`);
  const ca = ['-CA', home.file(`${issuer}.pem`), '-CAkey', home.file(`${issuer}.key`), '-days', '2'];
  run('openssl', 'x509', '-req', '-in', csr, ...ca, '-extfile', extensions, '-out', home.file(`${name}.pem`));
}

interface Call {
  readonly token?: string;
  readonly certificate?: string;
  readonly json?: unknown;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** A request by curl, which knows nothing of us. */
function call(
  path: string,
  { token, certificate, json, method, headers = {} }: Call = {},
): Answer & { readonly raw: string } {
  const body = json === undefined ? [] : ['--json', JSON.stringify(json)];
  const output = run(
    'curl',
    '--silent',
    '--include',
    '--cacert',
    home.file('server.pem'),
    ...(method === undefined ? [] : ['--request', method]),
    ...(token === undefined ? [] : ['--header', `Authorization: Bearer ${token}`]),
    ...(certificate === undefined
      ? []
      : ['--cert', home.file(`${certificate}.pem`), '--key', home.file(`${certificate}.key`)]),
    ...Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]),
    ...body,
    `${service.url}${path}`,
  );
  const [head, ...rest] = output.split('\r\n\r\n');
  const raw = rest.join('\r\n\r\n');
  const [first, ...lines] = head.split('\r\n');
  const parsed = new Headers(
    lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const isJson = parsed.get('content-type')?.includes('json') === true;
  return {
    status: Number(first.split(' ')[1]),
    headers: parsed,
    raw,
    body: isJson ? (JSON.parse(raw) as Answer['body']) : {},
  };
}

/** An API token as `nest-hsm ca token create` prints it. */
function apiToken(name: string, scopes: string[], ...more: string[]): string {
  const all = scopes.flatMap((scope) => ['--scope', scope]);
  return run(
    process.execPath,
    'dist/apps/cli/main.js',
    'ca',
    'token',
    'create',
    '-c',
    home.configFile,
    '--name',
    name,
    ...all,
    ...more,
  ).trim();
}

const everything = ['certificates:issue', 'certificates:read', 'certificates:revoke', 'certificates:approve'];

describe('who may use the API', () => {
  test('a token of the command line is believed, says what it may do, and is not after it was revoked', () => {
    const token = apiToken('reader', ['certificates:read']);
    expect(token).toMatch(/^nhca_[0-9a-f]{16}_[\w-]{43}$/);
    expect(call('/v1/certificates', { token }).status).toBe(200);
    expect(
      call('/v1/certificates?profile=tls-server', { token, json: { csr: csrFor('a.example.test') } }),
    ).toMatchObject({
      status: 403,
      body: { code: 'ERR_API_FORBIDDEN', detail: 'token:reader: want scope certificates:issue, got none' },
    });
    expect(home.sql('SELECT token_sha256 FROM ca_api_token')).toContainEqual({
      token_sha256: createHash('sha256').update(token).digest('hex'),
    });
    const id = token.slice(5, 21);
    run(process.execPath, 'dist/apps/cli/main.js', 'ca', 'token', 'revoke', id, '-c', home.configFile);
    expect(call('/v1/certificates', { token })).toMatchObject({
      status: 401,
      body: { code: 'ERR_API_UNAUTHENTICATED' },
    });
    const listed = run(process.execPath, 'dist/apps/cli/main.js', 'ca', 'token', 'list', '-c', home.configFile);
    expect(listed).toMatch(new RegExp(`${id}  reader  revoked`));
    expect(listed).not.toContain(token.slice(22));
  });

  test('the set-up token makes tokens and does nothing else', () => {
    const asked = {
      name: 'bob',
      scopes: ['certificates:read'],
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
    };
    const made = call('/v1/tokens', { token: service.setupToken, json: asked });
    expect(made).toMatchObject({ status: 201, body: { name: 'bob', scopes: asked.scopes, createdBy: 'setup' } });
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(call('/v1/certificates', { token: String(made.body.token) }).status).toBe(200);
    expect(call('/v1/certificates', { token: service.setupToken }).status).toBe(403);
    expect(call('/v1/tokens', { token: String(made.body.token) }).status).toBe(403);
    expect(JSON.stringify(call('/v1/tokens', { token: service.setupToken }).body)).not.toContain(made.body.token);
    expect(call(`/v1/tokens/${String(made.body.id)}`, { token: service.setupToken, method: 'DELETE' }).status).toBe(
      204,
    );
    expect(call('/v1/certificates', { token: String(made.body.token) }).status).toBe(401);
    expect(call('/v1/tokens/0000000000000000', { token: service.setupToken, method: 'DELETE' }).status).toBe(404);
  });

  test.each([
    ['an unknown scope', { name: 'x', scopes: ['certificates:everything'] }, 'ERR_API_BODY_INVALID'],
    ['no scope', { name: 'x', scopes: [] }, 'ERR_API_BODY_INVALID'],
    [
      'a name that looks like another requester',
      { name: 'oidc:alice', scopes: ['certificates:read'] },
      'ERR_CA_TOKEN_INVALID',
    ],
    ['no end', { name: 'x', scopes: ['certificates:read'], expiresAt: '9999-01-01T00:00:00Z' }, 'ERR_CA_TOKEN_INVALID'],
    [
      'an end that is past',
      { name: 'x', scopes: ['certificates:read'], expiresAt: '2020-01-01T00:00:00Z' },
      'ERR_CA_TOKEN_INVALID',
    ],
  ])('a token with %s is not made', (_, json, code) => {
    expect(call('/v1/tokens', { token: service.setupToken, json })).toMatchObject({ status: 400, body: { code } });
  });

  test('client certificates count where they are mapped, and for nothing else', () => {
    expect(call('/v1/certificates', { certificate: 'pinned' }).status).toBe(200);
    expect(
      call('/v1/certificates?profile=tls-client', { certificate: 'pinned', json: { csr: csrFor('a.example.test') } })
        .status,
    ).toBe(403);
    const asked = { csr: csrFor('agent.example.test'), profile: 'tls-client' };
    const issued = call('/v1/certificates', { certificate: 'agent', json: asked });
    expect(issued.status).toBe(201);
    expect(call('/v1/certificates', { certificate: 'agent', json: { ...asked, profile: 'tls-server' } })).toMatchObject(
      {
        status: 403,
        body: { code: 'ERR_API_FORBIDDEN' },
      },
    );
    home.file('own.pem', String(issued.body.certificate));
    for (const certificate of ['stranger', 'unknown'])
      expect(call('/v1/certificates', { certificate }).status).toBe(401);
  });

  test('a certificate of this CA itself opens nothing', () => {
    const csr = home.opensslCsr(
      'own',
      ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
      ['-subj', '/CN=agent.example.test'],
    );
    const { body } = call('/v1/certificates', {
      certificate: 'agent',
      json: { csr: run('cat', csr), profile: 'tls-client' },
    });
    home.file('own.pem', String(body.certificate));
    expect(call('/v1/certificates', { certificate: 'own' })).toMatchObject({ status: 401 });
  });

  test('a Client-Cert header of whom is not trusted opens nothing', () => {
    const der = Buffer.from(new X509Certificate(run('cat', home.file('pinned.pem'))).raw).toString('base64');
    expect(call('/v1/certificates', { headers: { 'client-cert': `:${der}:` } }).status).toBe(401);
  });

  test('a JWT of the provider is believed as far as its claims go', async () => {
    const token = await signJwt({ sub: 'alice', realm: { roles: ['pki'] } });
    const issued = call('/v1/certificates?profile=tls-server', { token, json: { csr: csrFor('jwt.example.test') } });
    expect(issued.status).toBe(201);
    const found = call(`/v1/certificates?requester=oidc:corp:alice`, { token });
    expect(found.body.certificates).toMatchObject([{ serial: issued.body.serial, requester: 'oidc:corp:alice' }]);
    expect(call('/v1/orders', { token }).status).toBe(403);
    expect(call('/v1/certificates', { token: await signJwt({ sub: 'mallory', realm: 'pki' }) }).status).toBe(403);
  });

  test('no other JWT is', async () => {
    const claims = { sub: 'alice', realm: { roles: ['pki'] } };
    const good = await signJwt(claims);
    const [head, body, signature] = good.split('.');
    const changed = Buffer.from(
      JSON.stringify({ ...(JSON.parse(Buffer.from(body, 'base64url').toString()) as object), sub: 'root' }),
    );
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const refused = {
      expired: await signJwt(claims, { expires: '-5m' }),
      audience: await signJwt(claims, { audience: 'another' }),
      issuer: await signJwt(claims, { issuer: 'https://elsewhere.test' }),
      changed: [head, changed.toString('base64url'), signature].join('.'),
      unsigned: [none, body, ''].join('.'),
      subject: await signJwt({ sub: 'alice smith', realm: { roles: ['pki'] } }),
      nobody: await signJwt({ realm: { roles: ['pki'] } }),
      rubbish: 'a.b.c',
    };
    for (const [why, token] of Object.entries(refused))
      expect([why, call('/v1/certificates', { token }).status]).toEqual([why, 401]);
  });

  test('every route of the API page wants a credential, but those for relying parties', () => {
    const { paths } = call('/docs-json').body as { paths: Record<string, Record<string, { security?: object[] }>> };
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, { security }] of Object.entries(methods)) {
        const answer = call(path.replaceAll(/\{\w+\}/g, '0'.repeat(32)), { method: method.toUpperCase() });
        expect([method, path, answer.status === 401]).toEqual([method, path, security !== undefined]);
      }
    }
    expect(paths['/v1/certificates'].post.security).toEqual([
      { bearer: ['certificates:issue'] },
      { mutualTLS: ['certificates:issue'] },
    ]);
  });

  test('the API page says what each answer is, and no refusal may be kept', () => {
    const types = (path: string, status: string): string[] => {
      const { paths } = call('/docs-json').body as { paths: Record<string, { get: { responses: Record<string, { content?: object }> } }> }; // prettier-ignore
      return Object.keys(paths[path].get.responses[status].content ?? {});
    };
    expect(types('/v1/certificates/{serial}', 'default')).toEqual(['application/problem+json']);
    expect(types('/v1/certificates/{serial}', '403')).toEqual(['application/problem+json']);
    expect(types('/v1/ca/root.der', '200')).toEqual(['application/pkix-cert']);
    expect(types('/v1/crl.der', '200')).toEqual(['application/pkix-crl']);
    const missing = call(`/v1/certificates/${'0'.repeat(32)}`, { token: apiToken('reader', ['certificates:read']) });
    expect([missing.status, missing.headers.get('cache-control')]).toEqual([404, 'no-store']);
  });
});

describe('certificates over the API', () => {
  let token: string;
  beforeAll(() => {
    token = apiToken('builder', everything);
  });
  const issue = (csr: string, headers: Record<string, string> = {}, profile = 'tls-server'): Answer =>
    call(`/v1/certificates?profile=${profile}`, { token, json: { csr }, headers });

  test('a batch gives each request its own result, and the same key the same certificates', () => {
    const [a, b] = [csrFor('a.example.test'), csrFor('b.example.test')];
    const json = {
      profile: 'tls-server',
      requests: [{ csr: a }, { csr: csrFor('www.example.org') }, { csr: b }, { csr: a, profile: 'nope' }],
    };
    const headers = { 'idempotency-key': '"batch-1"' };
    const first = call('/v1/certificates/batch', { token, json, headers });
    const results = first.body.results as {
      certificate?: { serial: string; certificate: string; issuer: string };
      problem?: { code: string };
    }[];
    expect(
      results.map(
        ({ certificate, problem }) => problem?.code ?? new X509Certificate(certificate?.certificate ?? '').subject,
      ),
    ).toEqual(['CN=a.example.test', 'ERR_CA_NAME_NOT_ALLOWED', 'CN=b.example.test', 'ERR_CA_PROFILE_UNKNOWN']);
    expect(Object.keys(first.body.chains as object)).toEqual([results[0].certificate?.issuer]);
    expect((call('/v1/certificates/batch', { token, json, headers }).body.results as typeof results)[2]).toEqual(
      results[2],
    );
    const tooMany = { profile: 'tls-server', requests: Array.from({ length: 501 }, () => ({ csr: 'x' })) };
    home.file('many.json', JSON.stringify(tooMany));
    expect(
      call('/v1/certificates/batch', { token, headers: { 'content-type': 'application/json' }, method: 'POST' }).status,
    ).toBe(400);
  });

  test('an idempotency key stands for one request of one requester', () => {
    const [csr, other] = [csrFor('once.example.test'), csrFor('twice.example.test')];
    const headers = { 'idempotency-key': 'order-66' };
    const first = issue(csr, headers);
    expect(issue(csr, headers)).toMatchObject({ status: 201, body: { serial: first.body.serial } });
    expect(issue(other, headers)).toMatchObject({ status: 422, body: { code: 'ERR_CA_IDEMPOTENCY_KEY_REUSED' } });
    const another = apiToken('another', everything);
    const theirs = call('/v1/certificates?profile=tls-server', { token: another, json: { csr: other }, headers });
    expect([theirs.status, theirs.body.serial === first.body.serial]).toEqual([201, false]);
    expect(issue(csr, { 'idempotency-key': 'ü' }).status).toBe(400);
  });

  test('a renewal keeps subject, names and key, or takes the key of a CSR', () => {
    const old = issue(csrFor('renewed.example.test')).body;
    const renewed = call(`/v1/certificates/${String(old.serial)}/renewal`, { token, method: 'POST' });
    expect(renewed.status).toBe(201);
    const [before, after] = [old, renewed.body].map(({ certificate }) => new X509Certificate(String(certificate)));
    expect([after.subject, after.subjectAltName, after.publicKey.equals(before.publicKey)]).toEqual([
      before.subject,
      before.subjectAltName,
      true,
    ]);
    expect(home.sql(`SELECT renews FROM ca_certificate WHERE serial = '${String(renewed.body.serial)}'`)).toEqual([
      { renews: old.serial },
    ]);
    const rekeyed = call(`/v1/certificates/${String(old.serial)}/renewal`, {
      token,
      json: { csr: csrFor('renewed.example.test') },
    });
    expect(new X509Certificate(String(rekeyed.body.certificate)).publicKey.equals(before.publicKey)).toBe(false);
    const refused = { status: 403, body: { code: 'ERR_CA_RENEWAL_REFUSED' } };
    expect(
      call(`/v1/certificates/${String(old.serial)}/renewal`, { token, json: { csr: csrFor('other.example.test') } }),
    ).toMatchObject(refused);
    const another = apiToken('somebody-else', everything);
    expect(call(`/v1/certificates/${String(old.serial)}/renewal`, { token: another, method: 'POST' })).toMatchObject(
      refused,
    );
    expect(call(`/v1/certificates/${'0'.repeat(32)}/renewal`, { token, method: 'POST' }).status).toBe(404);
  });

  test('a search finds by every condition, and its pages leave out nothing', () => {
    const names = Array.from({ length: 7 }, (_, index) => `s${index}.search.example.test`);
    const requests = names.map((name) => ({ csr: csrFor(name), profile: 'tls-client' }));
    const finder = apiToken('finder', everything);
    call('/v1/certificates/batch', { token: finder, json: { requests } });
    const search = (query: string): Answer => call(`/v1/certificates?${query}`, { token });
    const found = (query: string): string[] =>
      (search(query).body.certificates as { names: string[] }[]).map((each) => each.names[0].slice(3)).sort();
    expect(found('name=dns:S3.search.example.test')).toEqual([names[3]]);
    expect(found('commonName=S4.Search.example.test')).toEqual([names[4]]);
    expect(found('requester=token:finder&profile=tls-client')).toEqual(names);
    expect(found('requester=token:finder&profile=tls-server')).toEqual([]);
    expect(found('requester=token:finder&status=valid')).toEqual(names);
    expect(found('requester=token:finder&status=revoked')).toEqual([]);
    const window = `notAfterFrom=${new Date().toISOString()}&notAfterTo=${new Date(Date.now() + 365 * 86_400_000).toISOString()}`;
    expect(found(`requester=token:finder&${window}`)).toEqual(names);
    const [{ serial }] = search('name=dns:s5.search.example.test').body.certificates as [{ serial: string }];
    expect(found(`serial=${serial.slice(0, 12).toUpperCase()}`)).toEqual([names[5]]);

    const pages: string[] = [];
    for (let cursor: string | undefined = ''; cursor !== undefined;) {
      const page = search(`requester=token:finder&limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`);
      pages.push(...(page.body.certificates as { names: string[] }[]).map((each) => each.names[0].slice(3)));
      cursor = page.body.next as string | undefined;
    }
    expect(pages.sort()).toEqual(names);
    const { next } = search('requester=token:finder&limit=3').body;
    for (const query of [
      `requester=token:other&cursor=${String(next)}`,
      'cursor=AAAA',
      'limit=501',
      'serial=abc',
      'name=www',
      'unknown=1',
      'status=lost',
      'limit=1&limit=2',
    ])
      expect([query, search(query).status]).toEqual([query, 400]);
  });

  test('a certificate comes in PEM, DER and PKCS #7, as openssl reads them', () => {
    const { serial } = issue(csrFor('forms.example.test')).body;
    const fetched = (type: string, name: string): string => {
      const file = home.file(name);
      run(
        'curl',
        '--silent',
        '--fail',
        '--cacert',
        home.file('server.pem'),
        '--header',
        `Authorization: Bearer ${token}`,
        '--header',
        `Accept: ${type}`,
        '--output',
        file,
        `${service.url}/v1/certificates/${String(serial)}`,
      );
      return file;
    };
    const subject = run(
      'openssl',
      'x509',
      '-in',
      fetched('application/pkix-cert', 'c.der'),
      '-inform',
      'DER',
      '-noout',
      '-subject',
    );
    expect(subject).toContain('forms.example.test');
    const list = run(
      'openssl',
      'pkcs7',
      '-in',
      fetched('application/pkcs7-mime', 'c.p7c'),
      '-inform',
      'DER',
      '-print_certs',
      '-noout',
    );
    expect(list).toContain('forms.example.test');
    expect(list).toContain('Test Issuing CA');
    expect(run('openssl', 'asn1parse', '-inform', 'DER', '-in', home.file('c.p7c'))).toContain('pkcs7-signedData');
    expect(run('cat', fetched('application/pem-certificate-chain', 'c.pem')).match(/BEGIN CERTIFICATE/g)).toHaveLength(
      2,
    );
  });

  test('what wants approval waits for somebody else', () => {
    const csr = csrFor('approved.example.test');
    const order = issue(csr, { 'idempotency-key': 'a1' }, 'approved');
    expect(order).toMatchObject({
      status: 202,
      body: {
        state: 'pending',
        requester: 'token:builder',
        names: [
          'cn:approved.example.test',
          'dns:approved.example.test',
          'subject:commonName=approved.example.test',
          expect.stringMatching(/^key:sha256:[0-9a-f]{64}$/),
        ],
      },
    });
    const path = String(order.headers.get('location'));
    expect(issue(csr, { 'idempotency-key': 'a1' }, 'approved').body.id).toBe(order.body.id);
    expect(call('/v1/certificates?name=dns:approved.example.test', { token }).body.certificates).toEqual([]);
    expect(call(`${path}/approval`, { token, method: 'POST' })).toMatchObject({
      status: 403,
      body: { code: 'ERR_CA_APPROVAL_REQUIRED' },
    });

    const approver = apiToken('approver', ['certificates:approve']);
    expect((call('/v1/orders', { token: approver }).body.orders as { id: string }[]).map(({ id }) => id)).toEqual([
      order.body.id,
    ]);
    const approved = call(`${path}/approval`, { token: approver, method: 'POST' });
    expect(approved.status).toBe(201);
    expect(new X509Certificate(String(approved.body.certificate)).subject).toBe('CN=approved.example.test');
    expect(call(`${path}/approval`, { token: approver, method: 'POST' }).body.serial).toBe(approved.body.serial);
    expect(call(path, { token }).body).toMatchObject({
      state: 'approved',
      decidedBy: 'token:approver',
      serial: approved.body.serial,
    });
    expect(call(`${path}/refusal`, { token: approver, method: 'POST' }).body.code).toBe('ERR_CA_ORDER_DECIDED');

    const second = String(issue(csrFor('refused.example.test'), {}, 'approved').headers.get('location'));
    const nosy = apiToken('nosy', ['certificates:issue', 'certificates:approve'], '--profile', 'tls-server');
    expect(call('/v1/orders', { token: nosy }).body).toEqual({ orders: [] });
    expect(call(second, { token: nosy }).status).toBe(404);
    expect(call(`${second}/refusal`, { token: approver, json: { reason: 'not ours' } }).body).toMatchObject({
      state: 'refused',
      reason: 'not ours',
    });
    expect(call(`${second}/approval`, { token: approver, method: 'POST' })).toMatchObject({ status: 409 });
    expect(issue(csrFor('www.example.org'), {}, 'approved')).toMatchObject({
      status: 403,
      body: { code: 'ERR_CA_NAME_NOT_ALLOWED' },
    });
  });
});

test('over TLS of its own the service answers while its HSM is away, lets in whom it let in before, and goes on when it is back', async () => {
  const token = apiToken('patient', ['certificates:issue']);
  const issue = (): Answer =>
    call('/v1/certificates', { token, json: { csr: csrFor('patient.example.test'), profile: 'tls-server' } });
  const tokens = join(home.token.directory, 'tokens');
  renameSync(tokens, `${tokens}.gone`);
  for (const agent of childrenOf(service.process.pid ?? 0)) process.kill(agent, 'SIGKILL');
  const refused = issue();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
  expect(refused.body.code).toMatch(/^ERR_HSM_/);
  expect(call('/v1/certificates', { certificate: 'pinned' }).status).toBe(200);
  expect(call('/v1/certificates', { certificate: 'unknown' }).status).toBe(401);
  expect(call('/v1/crl.pem').status).toBe(200);
  expect(call('/health').status).toBe(503);
  renameSync(`${tokens}.gone`, tokens);
  await eventually(() => issue().status === 201);
});
