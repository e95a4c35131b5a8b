import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { crlFileName, type CrlWatch } from '@nest-hsm/ca';
import { nestHsm, nestHsmSays } from '../support/ca-cli.js';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';
import { eventually } from '../support/eventually.js';
import { TestPostgres } from '../support/postgres.js';

interface Issued {
  readonly serial: string;
  readonly certificate: string;
}

describe.each(['better-sqlite3', 'postgres'])('status of certificates in the CA app on %s', (type) => {
  let postgres: TestPostgres | undefined;
  let home: CaHome;
  let service: CaService;
  let issuerId: string;
  let operator: string;
  /** May revoke certificates of one profile. */
  let serverOperator: string;

  beforeAll(async () => {
    postgres = type === 'postgres' ? await TestPostgres.start() : undefined;
    home = new CaHome({ ocsp: {}, crl: { shards: 2, deltaHours: 24, spacingSeconds: 0 } });
    if (postgres !== undefined)
      home.configure({ database: { type, urlFile: home.file('url', `${await postgres.database('ca')}\n`) } });
    service = await CaService.start(home);
    operator = await makeToken({ name: 'operator' });
    serverOperator = await makeToken({ name: 'server-operator', profiles: ['tls-server'] });
    for (const name of ['root', 'issuing', 'chain']) home.file(`${name}.pem`, await text(`/v1/ca/${name}.pem`));
  });

  afterAll(async () => {
    await service?.stop();
    await postgres?.stop();
    home?.remove();
  });

  const text = async (path: string): Promise<string> => (await service.get(path)).text();
  const octets = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
  /** What a command says on both outputs, whatever it thinks of the matter. */
  const said = (command: string, ...args: string[]): string => {
    const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    return stderr + stdout;
  };

  async function makeToken(grant: { name: string; profiles?: string[] }): Promise<string> {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const made = await fetch(`${service.url}/v1/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.setupToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...grant, scopes: ['certificates:revoke'], expiresAt }),
    });
    return ((await made.json()) as { token: string }).token;
  }

  async function issue(name: string): Promise<string> {
    // A key that was reported as compromised is certified no more.
    const response = await service.post(
      buildCsr({ key: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) }),
      'application/pkcs10',
    );
    const { serial, certificate } = (await response.json()) as Issued;
    home.file(`${name}.pem`, certificate);
    return serial;
  }

  async function decide(
    serial: string,
    method: 'PUT' | 'DELETE' | 'GET',
    body?: object,
    token = operator,
  ): Promise<[number, object]> {
    const response = await fetch(`${service.url}/v1/certificates/${serial}/revocation`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    return [response.status, (await response.json()) as object];
  }

  /** Where a certificate says its CRL is, as it is served here. */
  function crlPath(name: string): string {
    const found = /URI:http:\/\/ca\.example\.test(\/v1\/crl\/\S+)/.exec(run('openssl', 'x509', '-noout', '-ext', 'crlDistributionPoints', '-in', home.file(`${name}.pem`))); // prettier-ignore
    return found?.[1] ?? '';
  }

  /** Fetches a CRL until it says something. */
  async function crlUntil(path: string, says: RegExp): Promise<string> {
    let listed = '';
    const look = async () => {
      const file = home.file('crl.der', await octets(await fetch(`${service.url}${path}`)));
      listed = run('openssl', 'crl', '-inform', 'DER', '-in', file, '-noout', '-text');
      return says.test(listed);
    };
    await eventually(look, () => `no ${says} in\n${listed}`);
    return listed;
  }

  test('a certificate names its shard and its responder, and openssl checks its whole chain against the CRLs', async () => {
    await issue('leaf');
    issuerId = crlPath('leaf').split('/')[3];
    expect(crlPath('leaf')).toMatch(/^\/v1\/crl\/[0-9a-f]{40}\/shard-[12]\.der$/);
    expect(crlPath('issuing')).toMatch(/^\/v1\/crl\/[0-9a-f]{40}\/full\.der$/);
    expect(run('openssl', 'x509', '-noout', '-ocsp_uri', '-in', home.file('leaf.pem'))).toBe(
      'http://ca.example.test/v1/ocsp\n',
    );
    const certificate = await service.get(`/v1/ca/issuers/${issuerId}.der`);
    expect([certificate.status, certificate.headers.get('cache-control')]).toEqual([200, 'public, max-age=3600']);
    const crls = await Promise.all(
      [crlPath('leaf'), crlPath('issuing')].map((path) => text(path.replace('.der', '.pem'))),
    );
    home.file('crls.pem', crls.join(''));
    const verify = ['verify', '-x509_strict', '-crl_check_all', '-CAfile', home.file('root.pem'), '-untrusted', home.file('chain.pem'), '-CRLfile', home.file('crls.pem')]; // prettier-ignore
    expect(said('openssl', ...verify, '-extended_crl', home.file('leaf.pem'))).toContain('leaf.pem: OK');
  });

  test('revokes once and for all, with a reason and an invalidity date', async () => {
    const serial = await issue('revoked');
    expect(await decide(serial, 'GET')).toEqual([200, { serial, status: 'good' }]);
    const invalidityDate = '2026-01-02T03:04:05.000Z';
    const [status, revoked] = await decide(serial, 'PUT', { reason: 'keyCompromise', invalidityDate });
    expect([status, revoked]).toMatchObject([
      200,
      { serial, status: 'revoked', reason: 'keyCompromise', invalidityDate },
    ]);
    expect(await decide(serial, 'PUT', { reason: 'keyCompromise' })).toEqual([200, revoked]);
    expect(await decide(serial, 'PUT', { reason: 'superseded' })).toMatchObject([
      409,
      { code: 'ERR_CA_REVOCATION_CONFLICT' },
    ]);
    expect(await decide(serial, 'DELETE')).toMatchObject([409, { code: 'ERR_CA_REVOCATION_CONFLICT' }]);
    expect(await decide('41'.repeat(16), 'PUT')).toMatchObject([404, { code: 'ERR_CA_CERTIFICATE_NOT_FOUND' }]);
    expect(await decide(serial, 'PUT', { reason: 'removeFromCRL' })).toMatchObject([
      400,
      { code: 'ERR_API_BODY_INVALID' },
    ]);
    expect(await decide(serial, 'PUT', { invalidityDate: '2999-01-01T00:00:00Z' })).toMatchObject([
      422,
      { code: 'ERR_CA_REVOCATION_INVALID' },
    ]);

    const delta = await crlUntil(crlPath('revoked').replace('.der', '-delta.der'), new RegExp(serial, 'i'));
    expect(delta).toMatch(/Delta CRL Indicator: critical\s+\d+/);
    expect(delta).toMatch(
      /Issuing Distribution Point: critical\s+Full Name:\s+URI:http:\/\/ca\.example\.test\/v1\/crl\/.*\/shard-[12]\.der/,
    );
    expect(delta).toMatch(/CRL Reason Code:\s+Key Compromise\s+Invalidity Date:\s+Jan {2}2 03:04:05 2026 GMT/);
    const base = home.file('base.pem', await text(crlPath('revoked').replace('.der', '.pem')));
    const fresh = home.file('delta.pem', await text(crlPath('revoked').replace('.der', '-delta.pem')));
    const checked = said('openssl', 'verify', '-crl_check', '-extended_crl', '-use_deltas', '-CAfile', home.file('root.pem'), '-untrusted', home.file('chain.pem'), '-CRLfile', base, '-CRLfile', fresh, home.file('revoked.pem')); // prettier-ignore
    expect(checked).toContain('certificate revoked');
    expect(said('certtool', '--crl-info', '--infile', fresh)).toMatch(
      /Version: 2\n[^]*Revoked certificates \(1\)|ENOENT|^$/,
    );
  });

  test('takes the other certificates of a compromised key along, for whoever may revoke each', async () => {
    const csr = buildCsr({ key: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) });
    const request = async (profile: string): Promise<string> => {
      const response = await service.post(csr, 'application/pkcs10', { profile });
      const { serial, certificate } = (await response.json()) as Issued;
      home.file('same-key.pem', certificate);
      return serial;
    };
    const [server, client, again, last] = [await request('tls-server'), await request('tls-client'), await request('tls-server'), await request('tls-server')]; // prettier-ignore
    expect(await decide(server, 'PUT', { reason: 'superseded', sameKey: true })).toMatchObject([
      422,
      { code: 'ERR_CA_REVOCATION_INVALID' },
    ]);
    const [status, problem] = await decide(server, 'PUT', { reason: 'keyCompromise', sameKey: true }, serverOperator);
    expect([status, problem]).toMatchObject([403, { code: 'ERR_CA_REVOCATION_FORBIDDEN' }]);
    expect(JSON.stringify(problem)).not.toContain(client);
    expect(await decide(server, 'GET')).toEqual([200, { serial: server, status: 'good' }]);
    const [, alone] = await decide(server, 'PUT', { reason: 'keyCompromise' }, serverOperator);
    expect(alone).toMatchObject({ status: 'revoked', sameKey: { revoked: [], remaining: 3 } });
    const [, all] = await decide(server, 'PUT', { reason: 'keyCompromise', sameKey: true });
    expect(all).toEqual({ ...alone, sameKey: { revoked: [client, again, last].sort(), remaining: 0 } });
    const delta = await crlUntil(crlPath('same-key').replace('.der', '-delta.der'), new RegExp(last, 'i'));
    expect(delta).toMatch(new RegExp(`${last}\\s[^]*Key Compromise`, 'i'));
    const refused = await service.post(csr, 'application/pkcs10', { profile: 'tls-client' });
    expect([refused.status, await refused.json()]).toMatchObject([422, { code: 'ERR_CA_KEY_COMPROMISED' }]);
  });

  // The command is the same on either.
  if (type !== 'postgres')
    test('does so on the command line too, where CRLs are made before they are due, and the service goes on from there', async () => {
      const csr = buildCsr({ key: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) });
      const [first, second] = await Promise.all([1, 2].map(async () => (await service.post(csr, 'application/pkcs10')).json() as Promise<Issued>)); // prettier-ignore
      const revoked = nestHsmSays('ca', 'revoke', first.serial, '--config', home.configFile, '--reason', 'keyCompromise', '--same-key', '--json'); // prettier-ignore
      expect(JSON.parse(revoked)).toMatchObject({ state: 'revoked', sameKey: { revoked: [second.serial], remaining: 0 } }); // prettier-ignore

      const numberIn = (crl: string): number => Number(/CRL Number: \s+(\d+)/.exec(crl)?.[1]);
      const crls = JSON.parse(nestHsmSays('ca', 'crl', '--config', home.configFile, '--renew', '--json')) as CrlWatch[];
      for (const { issuerId: id, number, ...file } of crls) {
        const served = await crlUntil(`/v1/crl/${id}/${crlFileName(file)}.der`, /CRL Number/);
        expect(number).toBeGreaterThan(numberIn(served));
      }
      expect(new Set(crls.map((each) => each.issuerId)).size).toBe(2);
      // A second version of the issuer's key would keep the service from starting again.
      for (const label of ['issuing', 'issuing-ocsp'])
        expect(nestHsm('key', 'rotate', label, '--config', home.configFile).stderr).toContain('want no key of a CA');

      const serial = await issue('next');
      await decide(serial, 'PUT', { reason: 'superseded' });
      const next = await crlUntil(crlPath('next').replace('.der', '-delta.der'), new RegExp(serial, 'i'));
      const newest = Math.max(...crls.filter((each) => each.issuerId === issuerId).map(({ number }) => number));
      expect(numberIn(next)).toBeGreaterThan(newest);
    });

  test('puts on hold and releases, which the delta CRL says', async () => {
    const serial = await issue('held');
    expect((await decide(serial, 'PUT', { reason: 'certificateHold' }))[1]).toMatchObject({ status: 'held' });
    const path = crlPath('held').replace('.der', '-delta.der');
    expect(await crlUntil(path, new RegExp(serial, 'i'))).toMatch(/Certificate Hold/);
    expect(await decide(serial, 'DELETE')).toEqual([200, { serial, status: 'good' }]);
    expect(await crlUntil(path, /Remove From CRL/)).toMatch(/Remove From CRL/);
  });

  test('serves CRLs with what caches want, and 304 to whoever has them', async () => {
    for (const path of [
      '/v1/crl',
      `/v1/crl/${issuerId}/full.der`,
      `/v1/crl/${issuerId}/shard-2.pem`,
      `/v1/crl/${issuerId}/delta.der`,
    ]) {
      const first = await fetch(`${service.url}${path}`);
      expect([path, first.status]).toEqual([path, 200]);
      const { etag = '', expires = '', ...headers } = Object.fromEntries(first.headers) as Record<string, string>;
      expect(headers['cache-control']).toMatch(/^max-age=\d+, public, no-transform, must-revalidate$/);
      expect(Date.parse(expires)).toBeGreaterThan(Date.now());
      const conditions = [{ 'if-none-match': `"other", ${etag}` }, { 'if-modified-since': headers['last-modified'] }];
      for (const condition of conditions) {
        const again = await fetch(`${service.url}${path}`, { headers: condition });
        expect([again.status, (await octets(again)).length]).toEqual([304, 0]);
      }
      expect((await fetch(`${service.url}${path}`, { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
    }
    expect(await text('/v1/crl.pem')).toMatch(/^-----BEGIN X509 CRL-----\n/);
    for (const path of [`${issuerId}/shard-3.der`, `${issuerId}/full.txt`, `${'00'.repeat(20)}/full.der`]) {
      const response = await fetch(`${service.url}/v1/crl/${path}`);
      expect([response.status, await response.json()]).toMatchObject([404, { code: 'ERR_CA_CRL_NOT_FOUND' }]);
    }
    expect(await text('/metrics')).toMatch(new RegExp(`ca_crl_condition\\{issuer="${issuerId}",crl="shard-1"\\} 0`));
  });

  test('answers openssl by POST with a nonce, and anybody by GET with what caches want', async () => {
    const serial = await issue('asked');
    const ocsp = (...options: string[]): string =>
      said('openssl', 'ocsp', ...options, '-issuer', home.file('issuing.pem'), '-cert', home.file('asked.pem'), '-CAfile', home.file('chain.pem')); // prettier-ignore
    expect(ocsp('-url', `${service.url}/v1/ocsp`)).toMatch(/^Response verify OK\n.*asked.pem: good\n/);

    ocsp('-no_nonce', '-reqout', home.file('request.der'));
    const request = readFileSync(home.file('request.der')).toString('base64');
    const url = `${service.url}/v1/ocsp/${encodeURIComponent(request)}`;
    const good = await fetch(url);
    const headers = Object.fromEntries(good.headers) as Record<string, string>;
    expect([good.status, headers['content-type'], headers['cache-control']]).toEqual([
      200,
      'application/ocsp-response',
      expect.stringMatching(/^max-age=\d+, public, no-transform, must-revalidate$/),
    ]);
    expect((await fetch(url, { headers: { 'if-none-match': headers.etag } })).status).toBe(304);
    // Not everybody encodes the slashes.
    expect(await octets(await fetch(`${service.url}/v1/ocsp/${request}`))).toEqual(await octets(good));

    await decide(serial, 'PUT', { reason: 'superseded' });
    const revoked = home.file(
      'response.der',
      await octets(await fetch(url, { headers: { 'if-none-match': headers.etag } })),
    );
    expect(ocsp('-no_nonce', '-respin', revoked)).toMatch(
      /Response verify OK\n(.*\n)*.*asked.pem: revoked\n(.*\n)*.*superseded/,
    );
  });

  test.each([
    ['base64 of nothing', ''],
    ['no base64', '%00'],
    ['another path', 'v1/ocsp'],
    ['noise', Buffer.from('noise').toString('base64')],
    ['a request without end', 'A'.repeat(12_000)],
  ])('answers GET of %s with malformedRequest', async (_, path) => {
    const response = await fetch(`${service.url}/v1/ocsp/${path}`);
    expect([response.status, (await octets(response)).toString('hex'), response.headers.get('cache-control')]).toEqual([
      200,
      '30030a0101',
      'no-store',
    ]);
  });

  test('refuses a POST of another type, and one that is too long', async () => {
    const post = (body: string, contentType: string): Promise<Response> =>
      fetch(`${service.url}/v1/ocsp`, { method: 'POST', headers: { 'content-type': contentType }, body });
    expect((await post('x', 'text/html')).status).toBe(415);
    expect((await octets(await post('{}', 'application/json'))).toString('hex')).toBe('30030a0101');
    expect((await octets(await post('x'.repeat(20_000), 'application/ocsp-request'))).toString('hex')).toBe(
      '30030a0101',
    );
    expect((await post('x'.repeat(100_000), 'application/ocsp-request')).status).toBe(413);
  });
});
