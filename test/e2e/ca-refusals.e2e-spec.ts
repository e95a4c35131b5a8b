import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { CaHome, CaService } from '../support/ca-service.js';
import {
  buildCsr,
  caTrue,
  challengePassword,
  commonName,
  directoryName,
  dns,
  ecdsaSha1,
  ecKey,
  email,
  extensionRequest,
  ip,
  mustStaple,
  noName,
  oid,
  rocaKey,
  rsaKey,
  rsaSha256,
  sequence,
  subjectAltName,
  tlv,
  toPem,
  unknownAttribute,
  uri,
} from '../support/csr.js';

const sound = buildCsr();
const named = (...names: Buffer[]): Buffer =>
  buildCsr({ subject: noName, attributes: [extensionRequest(subjectAltName(...names))] });
const roca = rocaKey();
const deep = (depth: number): Buffer => {
  let nested: Buffer = Buffer.of(5, 0);
  for (let level = 0; level < depth; level += 1) nested = sequence(nested);
  return nested;
};
const edited = (edit: (der: Buffer) => void): Buffer => {
  const copy = Buffer.from(sound);
  edit(copy);
  return copy;
};
const compressed = (): Buffer => {
  const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
  return sequence(spki.subarray(2, 23), tlv(0x03, [0, 2], spki.subarray(27, 59)));
};

/** What is wrong, the body, its media type, and the answer. */
const hostile: [string, Uint8Array | string, string, number, string][] = [
  ['no body', '', 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['text that is no CSR', 'give me a certificate', 'text/plain', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a certificate instead of a CSR', toPem(sound, 'CERTIFICATE'), 'text/plain', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a truncated DER CSR', sound.subarray(0, -7), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a truncated PEM CSR', toPem(sound).slice(0, 200), 'application/x-pem-file', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a cut in the base64', toPem(sound).replace('\nM', '\n'), 'text/plain', 400, 'ERR_CA_CSR_MALFORMED'],
  ['octets behind the DER', Buffer.concat([sound, Buffer.of(0)]), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['text behind the PEM', `${toPem(sound)}and more`, 'text/plain', 400, 'ERR_CA_CSR_MALFORMED'],
  ['two PEM blocks', toPem(sound) + toPem(sound), 'text/plain', 400, 'ERR_CA_CSR_MALFORMED'],
  ['nesting beyond the bound', deep(60), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['nesting of ten thousand', deep(10_000), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['more values than the bound', sequence(Buffer.alloc(60_000, Buffer.of(5, 0))), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['an indefinite length', edited((der) => (der[1] = 0x80)), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['version 2', buildCsr({ version: tlv(0x02, [1]) }), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a changed signature', edited((der) => (der[der.length - 1] ^= 1)), 'application/pkcs10', 400, 'ERR_CA_CSR_SIGNATURE_INVALID'],
  ['a changed subject', edited((der) => (der[der.indexOf('www')] = 0x76)), 'application/pkcs10', 400, 'ERR_CA_CSR_SIGNATURE_INVALID'],
  ["another's public key", buildCsr({ spki: ecKey('P-256').publicKey.export({ format: 'der', type: 'spki' }) }), 'application/pkcs10', 400, 'ERR_CA_CSR_SIGNATURE_INVALID'],
  ['SHA-1', buildCsr({ signatureAlgorithm: ecdsaSha1, hash: 'sha1' }), 'application/pkcs10', 400, 'ERR_CA_CSR_SIGNATURE_INVALID'],
  ['an algorithm of another key', buildCsr({ signatureAlgorithm: rsaSha256 }), 'application/pkcs10', 400, 'ERR_CA_CSR_SIGNATURE_INVALID'],
  ['RSA of 1024 bits', buildCsr({ key: rsaKey(1024) }), 'application/pkcs10', 422, 'ERR_CA_KEY_WEAK'],
  ['RSA of 2040 bits', buildCsr({ key: rsaKey(2040) }), 'application/pkcs10', 422, 'ERR_CA_KEY_WEAK'],
  ['RSA with exponent 3', buildCsr({ key: rsaKey(2048, 3) }), 'application/pkcs10', 422, 'ERR_CA_KEY_WEAK'],
  ['RSA of a ROCA generator', buildCsr({ key: { privateKey: roca.privateKey, publicKey: createPublicKey(roca.privateKey) } }), 'application/pkcs10', 422, 'ERR_CA_KEY_WEAK'],
  ['the curve secp256k1', buildCsr({ key: ecKey('secp256k1') }), 'application/pkcs10', 422, 'ERR_CA_KEY_UNSUPPORTED'],
  ['a compressed point', buildCsr({ spki: compressed() }), 'application/pkcs10', 400, 'ERR_CA_CSR_MALFORMED'],
  ['a key of an unknown kind', buildCsr({ spki: sequence(sequence(oid('2b0601')), tlv(0x03, [0, 1])) }), 'application/pkcs10', 422, 'ERR_CA_KEY_UNSUPPORTED'],
  ['an unknown attribute', buildCsr({ attributes: [unknownAttribute] }), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['the same attribute twice', buildCsr({ attributes: [challengePassword, challengePassword] }), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['a request for CA rights', buildCsr({ attributes: [extensionRequest(caTrue)] }), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['an extension no profile decides', buildCsr({ attributes: [extensionRequest(mustStaple)] }), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['the same extension twice', buildCsr({ attributes: [extensionRequest(subjectAltName(dns('a.example.test')), subjectAltName(dns('a.example.test')))] }), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['a hundred and one names', named(...Array.from({ length: 101 }, (_, index) => dns(`n${index}.example.test`))), 'application/pkcs10', 422, 'ERR_CA_CSR_CONTENT_REFUSED'],
  ['no name at all', buildCsr({ subject: noName }), 'application/pkcs10', 422, 'ERR_CA_NAME_MISSING'],
  ['a name outside the allow-list', named(dns('www.example.org')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['the suffix itself', named(dns('example.test')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a suffix without a dot', named(dns('evilexample.test')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a wildcard over an exact name', named(dns('*.localhost')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['one good name and one bad', named(dns('a.example.test'), dns('b.example.org')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a bad commonName beside a good name', buildCsr({ subject: commonName('bank.test'), attributes: [extensionRequest(subjectAltName(dns('a.example.test')))] }), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['an address outside the ranges', named(ip([8, 8, 8, 8])), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['an address of five octets', named(ip([127, 0, 0, 1, 0])), 'application/pkcs10', 422, 'ERR_CA_NAME_INVALID'],
  ['an e-mail address', named(email('me@example.test')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a URI', named(uri('https://a.example.test')), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a directory name', named(directoryName(commonName('a.example.test'))), 'application/pkcs10', 403, 'ERR_CA_NAME_NOT_ALLOWED'],
  ['a NUL in a name', named(dns('a.example.test\0.example.org')), 'application/pkcs10', 422, 'ERR_CA_NAME_INVALID'],
  ['UTF-8 in an IA5String', named(dns('münchen.example.test')), 'application/pkcs10', 422, 'ERR_CA_NAME_INVALID'],
  ['a wildcard in the middle', named(dns('a.*.example.test')), 'application/pkcs10', 422, 'ERR_CA_NAME_INVALID'],
  ['an underscore', named(dns('a_b.example.test')), 'application/pkcs10', 422, 'ERR_CA_NAME_INVALID'],
  ['an unknown media type', sound, 'application/octet-stream', 415, 'ERR_API_MEDIA_TYPE'],
  ['a form', 'csr=1', 'application/x-www-form-urlencoded', 415, 'ERR_API_MEDIA_TYPE'],
  ['an absurd size', Buffer.alloc(2_000_000, 0x30), 'application/pkcs10', 413, 'ERR_API_BODY_TOO_LARGE'],
  ['JSON that is none', '{"csr":', 'application/json', 400, 'ERR_API_BODY_INVALID'],
  ['JSON nested without end', '['.repeat(60_000), 'application/json', 400, 'ERR_API_BODY_INVALID'],
  ['JSON without a CSR', '{"profile":"tls-server"}', 'application/json', 400, 'ERR_API_BODY_INVALID'],
  ['JSON with a field too many', JSON.stringify({ csr: toPem(sound), serial: '01' }), 'application/json', 400, 'ERR_API_BODY_INVALID'],
  ['JSON with a polluted prototype', `{"csr":"x","__proto__":{"a":1}}`, 'application/json', 400, 'ERR_API_BODY_INVALID'],
]; // prettier-ignore

describe('the CA app refuses', () => {
  let home: CaHome;
  let service: CaService;
  let before: unknown;
  const rows = (): unknown =>
    home.sql('SELECT (SELECT count(*) FROM ca_certificate) AS certificates, (SELECT count(*) FROM ca_crl) AS crls');

  beforeAll(async () => {
    home = new CaHome();
    service = await CaService.start(home);
    before = rows();
  });

  afterAll(async () => {
    await service?.stop();
    home?.remove();
  });

  test.each(hostile)('%s', async (_, body, type, status, code) => {
    const response = await service.post(body, type);
    const problem = (await response.json()) as Record<string, unknown>;
    expect(problem).toMatchObject({
      status,
      code,
      type: `urn:nest-hsm:problem:${code}`,
      title: expect.any(String),
      detail: expect.any(String),
    });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json; charset=utf-8',
    ]);
    expect(problem.instance).toMatch(/^urn:uuid:[0-9a-f-]{36}$/);
  });

  test.each([
    ['an unknown profile', 'root-ca', 400, 'ERR_CA_PROFILE_UNKNOWN'],
    ['a profile that is a property of objects', '__proto__', 400, 'ERR_CA_PROFILE_UNKNOWN'],
  ])('%s', async (_, profile, status, code) => {
    const response = await service.post(sound, 'application/pkcs10', { profile });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([status, code]);
  });

  test('an Accept it cannot serve', async () => {
    const response = await service.post(sound, 'application/pkcs10', { headers: { accept: 'text/html' } });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      406,
      'ERR_API_NOT_ACCEPTABLE',
    ]);
  });

  test.each([
    ['no token', undefined],
    ['another token', `Bearer ${'A'.repeat(43)}`],
    ['another scheme', 'Basic dXNlcjpwYXNz'],
    ['an empty token', 'Bearer '],
  ])('%s', async (_, authorization) => {
    for (const path of ['/v1/certificates?profile=tls-server', '/v1/certificates/00']) {
      const method = path.endsWith('00') ? 'GET' : 'POST';
      const headers = { 'content-type': 'application/pkcs10', ...(authorization !== undefined && { authorization }) };
      const response = await fetch(`${service.url}${path}`, {
        method,
        headers,
        ...(method === 'POST' && { body: new Uint8Array(sound) }),
      });
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="nest-hsm-ca"']);
      expect(((await response.json()) as { code: string }).code).toBe('ERR_API_UNAUTHENTICATED');
    }
  });

  test('one of a batch, and counts it as any other', async () => {
    const counted = async (): Promise<number> => {
      const metrics = await (await service.get('/metrics')).text();
      return Number(/ca_problems_total\{code="ERR_CA_PROFILE_UNKNOWN"\} (\d+)/.exec(metrics)?.[1] ?? 0);
    };
    const earlier = await counted();
    const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ requests: [{ csr: toPem(sound), profile: 'none' }] });
    expect((await fetch(`${service.url}/v1/certificates/batch`, { method: 'POST', headers, body })).status).toBe(200);
    expect(await counted()).toBe(earlier + 1);
  });

  test('nothing of all this was stored or signed', () => {
    expect(rows()).toEqual(before);
  });

  test('and still issues to a sound request', async () => {
    expect((await service.post(sound, 'application/pkcs10')).status).toBe(201);
  });
});

test('the CA app refuses more requests than its rate limit', async () => {
  const home = new CaHome({ rateLimit: { requests: 3, seconds: 60 } });
  const access = { terminators: ['127.0.0.1'], clients: [{ name: 'test', tokenFile: home.clientTokenFile, scopes: ['certificates:read'] }] }; // prettier-ignore
  home.configure({ access });
  const service = await CaService.start(home);
  try {
    const answers = [];
    for (let count = 0; count < 5; count += 1) answers.push(await service.get('/v1/certificates/00'));
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 429, 429]);
    expect(((await answers[4].json()) as { code: string }).code).toBe('ERR_API_RATE_LIMITED');
    expect(Number(answers[4].headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await service.get('/v1/crl')).status).toBe(200);
    // Behind a terminator that is trusted each client has a limit of its own, however many addresses of its network it uses.
    const statuses = [];
    for (const address of ['0::1', '0::2', '0::3', '0::4', '1::1'])
      statuses.push((await service.get('/v1/certificates/00', { 'x-forwarded-for': `198.51.100.7, 2001:db8:0:${address}` })).status); // prettier-ignore
    expect(statuses).toEqual([404, 404, 404, 429, 404]);
  } finally {
    await service.stop();
    home.remove();
  }
});
