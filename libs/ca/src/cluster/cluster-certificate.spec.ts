import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultsOfDer } from '../../../../test/support/canonical-der.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import { encodePem } from '../der/pem.js';
import { type ClusterCertificates, type ClusterSigningOptions, signClusterCsr } from './cluster-certificate.js';

let ca: TestCa;
let directory: string;
beforeEach(async () => {
  ca = await TestCa.create();
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-cluster-'));
});
afterEach(async () => {
  await ca.remove();
  rmSync(directory, { recursive: true });
});

const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
/** As CloudHSM makes it: many fields, no attributes. @returns PEM */
function clusterCsr(
  subject = '/C=US/ST=CA/L=SanJose/O=Cavium/OU=N3FIPS/CN=HSM:1234:PARTN:7, for FIPS mode',
  ...key: string[]
): string {
  const newKey = key.length > 0 ? key : ['-newkey', 'rsa:2048'];
  openssl('req', '-new', '-nodes', ...newKey, '-keyout', join(directory, 'hsm.key'), '-subj', subject, '-out', join(directory, 'hsm.csr')); // prettier-ignore
  return readFileSync(join(directory, 'hsm.csr'), 'utf8');
}
const sign = (csr: string, change: Partial<ClusterSigningOptions> = {}): Promise<ClusterCertificates> =>
  signClusterCsr(csr, {
    token: ca.token,
    ...ca.stores,
    config: { authority: { root: { label: 'root', subject: { commonName: 'R' } }, issuing: { label: 'issuing', subject: { commonName: 'I' } } } }, // prettier-ignore
    now: () => new Date(),
    label: 'cluster-owner',
    algorithm: 'rsa-2048',
    subject: { commonName: 'Owner of the cluster' },
    validityDays: 3652,
    ...change,
  });

test('gives what initialize-cluster wants, and openssl verifies it as the guide has it verified', async () => {
  const { customerCa, cluster } = await sign(clusterCsr());
  const [anchor, signed] = [join(directory, 'customerCA.crt'), join(directory, 'cluster.crt')];
  writeFileSync(anchor, encodePem('CERTIFICATE', customerCa));
  writeFileSync(signed, encodePem('CERTIFICATE', cluster));
  expect(openssl('verify', '-x509_strict', '-CAfile', anchor, signed)).toContain('OK');
  expect([...faultsOfDer(customerCa), ...faultsOfDer(cluster)]).toEqual([]);
  const [owner, certificate] = [new X509Certificate(customerCa), new X509Certificate(cluster)];
  expect(owner.checkIssued(owner) && owner.ca && !certificate.ca).toBe(true);
  expect(owner.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  expect(certificate.subject).toBe('C=US\nST=CA\nL=SanJose\nO=Cavium\nOU=N3FIPS\nCN=HSM:1234:PARTN:7\\, for FIPS mode');
  // The subject is the CSR's, octet for octet, and so is the key.
  expect(openssl('x509', '-in', signed, '-noout', '-pubkey')).toBe(openssl('req', '-in', join(directory, 'hsm.csr'), '-noout', '-pubkey')); // prettier-ignore
});

test('a second cluster has the same owner, whatever was issued before', async () => {
  const first = await sign(clusterCsr());
  const second = await sign(clusterCsr('/C=US/O=Cavium/CN=HSM:5678'));
  expect(second.customerCa).toEqual(first.customerCa);
  expect(second.cluster).not.toEqual(first.cluster);
  expect(await ca.token.listKeys()).toHaveLength(1);
  await expect(sign(clusterCsr(), { subject: { commonName: 'Another' } })).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' }); // prettier-ignore
});

test.each<[string, () => string, string]>([
  ['an EC key', () => clusterCsr(undefined, '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'), 'ERR_CA_KEY_UNSUPPORTED'],
  ['an RSA key that is too small', () => clusterCsr(undefined, '-newkey', 'rsa:1024'), 'ERR_CA_KEY_WEAK'],
  ['no CSR', () => 'hello', 'ERR_CA_CSR_MALFORMED'],
  ['no subject', () => clusterCsr('/'), 'ERR_CA_LINT_FAILED'],
])('refuses %s, and signs nothing', async (_, make, code) => {
  await expect(sign(make())).rejects.toMatchObject({ code });
  expect(ca.token.signatures).toBeLessThanOrEqual(1);
}); // prettier-ignore

test("refuses a CA's key as the owner's, by its label and by what it has certified", async () => {
  const csr = clusterCsr();
  const refusal = { code: 'ERR_CA_ISSUER_UNUSABLE', message: expect.stringMatching(/want a key of its own/) as string };
  for (const label of ['issuing', 'issuing-2', 'root', 'issuing-ocsp'])
    await expect(sign(csr, { label })).rejects.toMatchObject(refusal);
  expect([await ca.token.listKeys(), ca.token.signatures]).toEqual([[], 0]);
  const elsewhere = { root: { label: 'owner', subject: { commonName: 'R' }, algorithm: 'rsa-2048' }, issuing: { label: 'other', subject: { commonName: 'I' }, algorithm: 'ec-p256' }, initialize: true } as const; // prettier-ignore
  await (await ca.open({ authority: elsewhere })).close();
  await expect(sign(csr, { label: 'owner' })).rejects.toMatchObject(refusal);
});
