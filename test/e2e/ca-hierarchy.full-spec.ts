import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { Hsm } from '@nest-hsm/hsm';
import { parse, stringify } from 'yaml';
import { nestHsm, nestHsmSays } from '../support/ca-cli.js';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';

let home: CaHome;
beforeEach(() => (home = new CaHome()));
afterEach(() => home.remove());

const json = <T>(...args: string[]): T => JSON.parse(nestHsmSays(...args, '--json')) as T;

test('nest-hsm ceremony run makes a CA that the app serves; verify needs the transcript and the root alone', async () => {
  home.configure({ authority: { ...home.authority, initialize: false } });
  const script = home.file('ceremony.yaml');
  const config = parse(readFileSync(home.configFile, 'utf8')) as Record<string, unknown>;
  writeFileSync(script, stringify({ ...config, ceremony: { title: 'First root', witnesses: ['Ada'] } }));
  const [transcript, out] = [home.file('transcript.jsonl'), join(home.directory, 'out')];
  expect(nestHsmSays('ceremony', 'run', '-c', script, '-t', transcript, '--out', out)).toMatch(
    /First root\n {2}witness Ada[\s\S]*root: key root/,
  );
  const root = join(out, 'root.crt');
  run('openssl', 'verify', '-x509_strict', '-CAfile', root, join(out, 'issuing.crt'));
  expect(nestHsmSays('ceremony', 'verify', transcript, '--root', root)).toMatch(/ended 20/);
  // Again it is the same; with another script, or beside a key that is there, nothing is done.
  nestHsmSays('ceremony', 'run', '-c', script, '-t', transcript);
  const beside = nestHsm('ceremony', 'run', '-c', script, '-t', home.file('another.jsonl'));
  expect([beside.status, beside.stderr]).toEqual([
    1,
    expect.stringMatching(/ERR_CA_CEREMONY_REFUSED.*want a token without key root/),
  ]);
  writeFileSync(transcript, readFileSync(transcript, 'utf8').replace('First root', 'Other root'));
  const altered = nestHsm('ceremony', 'verify', transcript, '--root', root);
  expect([altered.status, altered.stderr]).toEqual([1, expect.stringMatching(/ERR_CA_TRANSCRIPT_INVALID.*line 2/)]);

  const service = await CaService.start(home);
  expect(await (await service.get('/v1/ca/root.pem')).text()).toBe(readFileSync(root, 'utf8'));
  await service.stop();
  expect(json<{ isWhole: boolean }>('ca', 'reconcile', '-c', home.configFile).isWhole).toBe(true);
}, 240_000);

test('an external root: csr, import, serve; a rollover while the app runs; reconcile finds every signature', async () => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes', '-keyout', home.file('root.key')];
  run('openssl', 'req', '-x509', ...key, '-subj', '/CN=Elsewhere', '-days', '3650', '-out', home.file('root.crt'), '-addext', 'keyUsage=critical,keyCertSign,cRLSign'); // prettier-ignore
  const fingerprint = run('openssl', 'x509', '-in', home.file('root.crt'), '-noout', '-fingerprint', '-sha256')
    .trim()
    .split('=')[1];
  const { issuing } = home.authority;
  home.configure({ authority: { root: { external: true, sha256: fingerprint }, issuing } });
  const certify = (generation: string): void => {
    const [csr, crt] = [home.file(`${generation}.csr`), home.file(`${generation}.crt`)];
    writeFileSync(csr, nestHsmSays('ca', 'csr', '-c', home.configFile, '--generation', generation));
    run('openssl', 'req', '-in', csr, '-noout', '-verify');
    run('openssl', 'x509', '-req', '-in', csr, '-CA', home.file('root.crt'), '-CAkey', home.file('root.key'), '-copy_extensions', 'copyall', '-days', '1000', '-out', crt); // prettier-ignore
    nestHsmSays('ca', 'import', '-c', home.configFile, '--generation', generation, crt, home.file('root.crt'));
  };
  const early = nestHsm('ca', 'import', '-c', home.configFile, home.file('root.crt'));
  expect([early.status, early.stderr]).toEqual([1, expect.stringMatching(/ERR_CA_NOT_INITIALIZED/)]);
  certify('1');

  const service = await CaService.start(home);
  const leafOf = async (name: string): Promise<string> => {
    const response = await service.post(buildCsr(), 'application/pkcs10', {
      headers: { accept: 'application/x-pem-file' },
    });
    return home.file(name, await response.text());
  };
  const verify = (leaf: string): string =>
    run('openssl', 'verify', '-CAfile', home.file('root.crt'), '-untrusted', leaf, leaf);
  const first = await leafOf('first.pem');
  expect(verify(first)).toContain('OK');

  certify('2');
  nestHsmSays('ca', 'rollover', '-c', home.configFile, '--at', new Date(Date.now() + 60_000).toISOString());
  const isRolledOver = async (): Promise<boolean> => {
    const issuers = (await (await service.get('/v1/ca/issuers')).json()) as { generation: number; isActive: boolean }[];
    return issuers.some(({ generation, isActive }) => generation === 2 && isActive);
  };
  // Within a minute and without a restart.
  for (const giveUp = Date.now() + 240_000; !(await isRolledOver()) && Date.now() < giveUp; ) await new Promise((resolve) => setTimeout(resolve, 500)); // prettier-ignore
  const second = await leafOf('second.pem');
  expect(run('openssl', 'x509', '-in', second, '-noout', '-issuer')).toMatch(/G2/);
  expect(verify(second)).toContain('OK');
  // The first one's chain, CRL and certificate are still served.
  const serial = run('openssl', 'x509', '-in', first, '-noout', '-serial').trim().split('=')[1];
  const again = await service.get(`/v1/certificates/${serial}`, { accept: 'application/x-pem-file' });
  expect(verify(home.file('again.pem', await again.text()))).toContain('OK');
  const [oldId] = home.sql("SELECT issuer_id FROM ca_certificate WHERE profile = 'tls-server' ORDER BY reserved_at").map(({ issuer_id }) => String(issuer_id)); // prettier-ignore
  expect((await service.get(`/v1/ca/issuers/${oldId}.der`)).status).toBe(200);
  await service.stop();

  const whole = json<{ events: number; matched: Record<string, number>; unmatched: unknown[] }>(
    'ca',
    'reconcile',
    '-c',
    home.configFile,
  );
  expect(whole.unmatched).toEqual([]);
  expect(whole.matched).toMatchObject({ certificate: 2, request: 2 });

  // Somebody with the PIN, through the agent, past the CA.
  const hsm = await Hsm.open(home.token.config({ audit: home.audit }));
  const [issuerKey] = await hsm.listKeys({ label: 'issuing' });
  const rogue = Buffer.from('a certificate of nobody');
  await hsm.sign(issuerKey, 'ecdsa-sha256', rogue);
  await hsm.close();
  const found = nestHsm('ca', 'reconcile', '-c', home.configFile);
  expect(found.status).toBe(1);
  expect(found.stdout).toContain(createHash('sha256').update(rogue).digest('hex'));
}, 400_000);

test("nest-hsm ca sign-cluster-csr writes the two files of AWS's guide, and openssl verifies them", () => {
  const csr = home.file('cluster-abc_ClusterCsr.csr');
  run('openssl', 'req', '-new', '-nodes', '-newkey', 'rsa:2048', '-keyout', home.file('hsm.key'), '-subj', '/C=US/ST=CA/L=SanJose/O=Cavium/OU=N3FIPS/CN=HSM:1:PARTN:7', '-out', csr); // prettier-ignore
  nestHsmSays('ca', 'sign-cluster-csr', csr, '-c', home.configFile, '--out', home.directory);
  const [anchor, cluster] = [home.file('customerCA.crt'), home.file('cluster-abc_CustomerHsmCertificate.crt')];
  expect(run('openssl', 'verify', '-x509_strict', '-CAfile', anchor, cluster)).toContain('OK');
  const again = nestHsm('ca', 'sign-cluster-csr', csr, '-c', home.configFile, '--out', home.directory);
  expect([again.status, again.stderr]).toEqual([
    1,
    expect.stringMatching(/ERR_CLI_ARGUMENT.*want to write a new file/),
  ]);
  nestHsmSays('ca', 'reconcile', '-c', home.configFile, '--key', 'cluster-owner');
});
