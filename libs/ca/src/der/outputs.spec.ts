import { generateKeyPairSync } from 'node:crypto';
import { faultsOfDer } from '../../../../test/support/canonical-der.js';
import {
  buildCsr,
  dns,
  email,
  extensionRequest,
  ip,
  mustStaple,
  noName,
  oid,
  sequence,
  set,
  subjectAltName,
  tlv,
  uri,
} from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import { certIdHashes, encodeCertId, issuerHashes } from '../ocsp/cert-id.js';
import { requestableReasons } from '../revocation/revocation-reason.js';

const keys = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 3072 }),
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p521: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
};
const ed25519 = { key: generateKeyPairSync('ed25519'), hash: null, signatureAlgorithm: sequence(oid('2b6570')) };
const attribute = (type: string, text: string, tag = 0x0c): Buffer =>
  set(sequence(oid(type), tlv(tag, Buffer.from(text))));
const [cn, serialNumber, country, locality, organization, address] = ['550403', '550405', '550406', '550407', '55040a', '2a864886f70d010901']; // prettier-ignore
const named = (...names: Buffer[]): Buffer[] => [extensionRequest(subjectAltName(...names))];
const company = [attribute(country, 'DE', 0x13), attribute(locality, 'Köln'), attribute(organization, 'Prüfstelle')];
const server = { subject: sequence(attribute(cn, 'a.example.com')), attributes: named(dns('*.example.com'), ip([8, 8, 8, 8])) }; // prettier-ignore

/** Everything there is, with as much in it as there can be. */
const requests: [profile: string, csr: Buffer][] = [
  ...Object.values(keys).map((key): [string, Buffer] => ['tls-server', buildCsr({ ...server, key })]),
  ['tls-server', buildCsr({ ...server, ...ed25519 })],
  ['stapling', buildCsr({ subject: noName, attributes: [extensionRequest(subjectAltName(dns('a.example.com')), mustStaple)] })],
  ['short-lived', buildCsr({ subject: noName, attributes: server.attributes })],
  ['tls-client', buildCsr(server)],
  ['mutual', buildCsr({ subject: noName, attributes: named(uri('spiffe://example.com/ns/a'), ip([...Buffer.alloc(16, 32)])) })],
  ['smime', buildCsr({ subject: sequence(attribute(cn, 'Ada'), attribute(address, 'ada@example.com', 0x16)), attributes: named(email('a@example.com')), key: keys.rsa })],
  ['code-signing', buildCsr({ subject: sequence(attribute(cn, 'Ada')), key: keys.rsa })],
  ['document-signing', buildCsr({ subject: sequence(...company.slice(2), attribute(cn, 'Ádám \u{1f511}')) })],
  ['device', buildCsr({ subject: sequence(attribute(serialNumber, "SN 'a'(1)+2,-./:=?", 0x13)), attributes: named(dns('a.example.com')) })],
  ['intermediate', buildCsr({ subject: sequence(company[0], company[2], attribute(cn, 'Partner')), key: keys.rsa })],
  ['ocsp-responder', buildCsr({ subject: sequence(attribute(cn, 'Responder')) })],
  ['public-tls-server', buildCsr(server)],
  ['public-smime', buildCsr({ subject: sequence(attribute(cn, 'ada@example.com')), key: keys.rsa })],
  ['public-code-signing', buildCsr({ subject: sequence(...company, attribute(cn, 'Prüfstelle')), key: keys.rsa })],
]; // prettier-ignore

const identity = (commonName: string) => ({ commonName, organization: 'Prüfstelle', country: 'DE' });
const configOf = (algorithm: 'ec-p256' | 'ec-p384' | 'rsa-2048'): Partial<CaConfig> => {
  const issuer = (label: string, purpose: string, profiles: string[]) => ({ label, subject: identity(label), algorithm, extendedKeyUsage: [purpose], profiles }); // prettier-ignore
  return {
    authority: {
      root: { label: 'root', subject: identity('Root'), algorithm },
      issuing: { label: 'issuing', subject: identity('Issuing'), algorithm, pathLength: 1 },
      issuers: {
        servers: issuer('servers', 'serverAuth', ['public-tls-server']),
        mail: issuer('mail', 'emailProtection', ['public-smime']),
        code: issuer('code', 'codeSigning', ['public-code-signing']),
        clients: { ...issuer('clients', 'clientAuth', ['tls-client']), nameConstraints: { permitted: { dns: ['example.com'], ip: ['8.0.0.0/9', '2000::/3'], email: ['.example.com'], uri: ['example.com'] }, excluded: { ip: ['10.0.0.0/8'] } } },
      },
      initialize: true,
    },
    publicUrl: 'http://ca.example.com',
    crl: { shards: 2, deltaHours: 24 },
    ocsp: {},
    profiles: {
      'tls-server': { policies: [{ oid: '2.999.1', cps: 'https://example.com/cps' }, { oid: '2.999.268435455' }] },
      stapling: { extends: 'tls-server', mustStaple: true },
      'short-lived': { extends: 'tls-server', validityHours: 24, noRevocation: true },
      smime: { subject: { commonName: 'required', emailAddress: 'optional' }, keyUsage: ['digitalSignature', 'keyEncipherment'], keys: ['rsa'] },
      'tls-client': {}, mutual: {}, 'code-signing': {}, 'document-signing': {}, device: {}, intermediate: {}, 'ocsp-responder': {},
      'public-tls-server': {}, 'public-smime': {}, 'public-code-signing': {},
    },
    allowedNames: { dns: ['*.example.com', 'example.com'], ip: ['0.0.0.0/0', '::/0'], email: ['@example.com'], uri: ['spiffe://example.com/*'], subject: { commonName: ['*'], serialNumber: ['*'], organization: ['*'], locality: ['*'], country: ['*'] } },
    nameRules: [{ profiles: ['intermediate', 'ocsp-responder'], subject: { country: ['DE'], organization: ['*'], commonName: ['*'] } }],
  }; // prettier-ignore
};

describe.each(['ec-p256', 'ec-p384', 'rsa-2048'] as const)('under CAs of %s', (algorithm) => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  beforeAll(async () => {
    ca = await TestCa.create();
    // What begins as UTCTime ends as GeneralizedTime (RFC 5280 §4.1.2.5).
    ca.now = new Date('2049-12-30T12:00:00Z');
    authority = await ca.open(configOf(algorithm));
  });
  afterAll(() => ca.remove());

  const faults = (outputs: readonly (readonly [name: string, der: Buffer])[]): string[] =>
    outputs.flatMap(([name, der]) => faultsOfDer(der).map((fault) => `${name}: ${fault}`));

  test('certificates of every profile, of CAs and of OCSP responders are canonical DER', async () => {
    for (const [profile, csr] of requests) await authority.issue(csr, profile);
    const rows: { profile: string; certificate: string }[] = await ca.dataSource.query(
      'SELECT profile, certificate FROM ca_certificate',
    );
    expect(new Set(rows.map(({ profile }) => profile)).size).toBe(Object.keys(configOf(algorithm).profiles ?? {}).length + 3); // prettier-ignore
    expect(faults(rows.map(({ profile, certificate }) => [profile, Buffer.from(certificate, 'base64')]))).toEqual([]);
  });

  test('so are CRLs, full ones and deltas, complete and of shards, and OCSP responses', async () => {
    const { id, name, subjectPublicKeyInfo } = authority.issuer;
    const crls = (): [string, Buffer][] =>
      authority.status.watch().map((each) => [`CRL ${each.number} ${each.shard} ${each.kind}`, authority.status.crl(each).der]); // prettier-ignore
    const outputs = crls();
    const serials: string[] = [];
    const answers = async (nonce: Buffer | undefined): Promise<void> => {
      for (const serial of serials)
        for (const hash of certIdHashes) {
          const certId = encodeCertId(issuerHashes({ name, subjectPublicKeyInfo }, hash), serial);
          const extensions = nonce === undefined ? [] : [tlv(0xa2, sequence(sequence(oid('2b0601050507300102'), tlv(4, tlv(4, nonce)))))]; // prettier-ignore
          const request = sequence(sequence(sequence(sequence(certId)), ...extensions));
          const answer = await authority.status.ocsp?.respond(request);
          outputs.push([`OCSP ${hash} ${serial}`, answer?.der ?? Buffer.alloc(0)]);
        }
    };
    for (const reason of [...requestableReasons, 'certificateHold' as const]) {
      // A key of its own: one that is compromised takes all its certificates with it.
      const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const { serial } = await authority.issue(buildCsr({ ...server, key }), 'tls-server');
      const invalidityDate = reason === 'keyCompromise' ? new Date(ca.now.getTime() - 3_600_000) : undefined;
      await authority.status.revoke(serial, { reason, invalidityDate });
      serials.push(serial);
      ca.now = new Date(ca.now.getTime() + 4 * 3_600_000);
    }
    expect(ca.now.getUTCFullYear()).toBe(2050);
    await authority.status.renewCrls();
    outputs.push(...crls());
    await answers(undefined);
    await authority.status.release(serials[serials.length - 1]);
    await authority.status.refreshCrls();
    serials.push((await authority.issue(buildCsr({ ...server, key: keys.p521 }), 'tls-server')).serial);
    await answers(Buffer.alloc(32, 0x81));
    outputs.push(...crls());
    const { der } = authority.status.crl({ issuerId: id, shard: 0, kind: 'delta' });
    expect(der.includes(Buffer.from('551d1504030a0108', 'hex'))).toBe(true);
    for (const octets of [Buffer.from('no request'), Buffer.alloc(0)])
      outputs.push(['OCSP error', (await authority.status.ocsp?.respond(octets))?.der ?? Buffer.alloc(0)]);
    expect(faults(outputs)).toEqual([]);
  });
});

const extension = (type: string, ...parts: Buffer[]): Buffer => sequence(oid(type), ...parts);
const extensions = (...all: Buffer[]): Buffer => sequence(Buffer.of(2, 1, 5), tlv(0xa3, sequence(...all)));

test.each<[string, Buffer]>([
  ['more behind the end', Buffer.concat([sequence(Buffer.of(2, 1, 5)), Buffer.of(0)])],
  ['a long form of a short length', Buffer.from('30810302017f', 'hex')],
  ['an indefinite length', Buffer.from('308002017f0000', 'hex')],
  ['a length beyond the end', Buffer.from('300402017f', 'hex')],
  ['an INTEGER with a zero too many', sequence(Buffer.of(2, 2, 0, 5))],
  ['TRUE as 01', extensions(extension('551d0f', Buffer.of(1, 1, 1), tlv(4, Buffer.of(3, 2, 7, 0x80))))],
  ['a FALSE written out', extensions(extension('551d0f', Buffer.of(1, 1, 0), tlv(4, Buffer.of(3, 2, 7, 0x80))))],
  ['named bits with trailing zeros', extensions(extension('551d0f', tlv(4, Buffer.of(3, 2, 6, 0x80))))],
  ['named bits of a whole octet that ends in zero', extensions(extension('551d0f', tlv(4, Buffer.of(3, 2, 0, 0x80))))],
  ['padding that is not zero', extensions(extension('551d0f', tlv(4, Buffer.of(3, 2, 7, 0xff))))],
  ['an extension twice', extensions(extension('551d0e', tlv(4, tlv(4, [1]))), extension('551d0e', tlv(4, tlv(4, [2]))))],
  ['an extension with more than its value', extensions(extension('551d0e', tlv(4, tlv(4, [1]), tlv(4, [2]))))],
  ['an empty SEQUENCE', sequence(sequence())],
  ['a SET OF that is not in order', sequence(set(tlv(0x0c, [66]), tlv(0x0c, [65])))],
  ['a version that is a DEFAULT', sequence(tlv(0xa0, Buffer.of(2, 1, 0)))],
  ['ECDSA with parameters', sequence(oid('2a8648ce3d040302'), Buffer.of(5, 0))],
  ['RSA without them', sequence(oid('2a864886f70d01010b'))],
  ['Ed25519 with them', sequence(oid('2b6570'), Buffer.of(5, 0))],
  ['an ECDSA signature that is not minimal', sequence(sequence(oid('2a8648ce3d040302')), tlv(3, [0], sequence(Buffer.of(2, 2, 0, 1), Buffer.of(2, 1, 1))))],
  ['an OBJECT IDENTIFIER with an empty digit', sequence(oid('2a8001'))],
  ['a PrintableString with an @', sequence(tlv(0x13, Buffer.from('a@b')))],
  ['an empty UTF8String', sequence(tlv(0x0c))],
  ['UTF-8 that is none', sequence(tlv(0x0c, [0xc3]))],
  ['an IA5String above 7F', sequence(tlv(0x16, [0xe4]))],
  ['a T61String', sequence(tlv(0x14, Buffer.from('a')))],
  ['a UTCTime without seconds', sequence(tlv(0x17, Buffer.from('4912301200Z')))],
  ['a day that is none', sequence(tlv(0x17, Buffer.from('490230120000Z')))],
  ['a fraction of a second', sequence(tlv(0x18, Buffer.from('20500101000000.5Z')))],
  ['a GeneralizedTime before 2050', sequence(tlv(0x18, Buffer.from('20491231235959Z')))],
  ['a UTCTime in an OCSP response', sequence(Buffer.of(0x0a, 1, 0), tlv(0x17, Buffer.from('491231235959Z')))],
  ['a UTCTime as an invalidity date', extensions(extension('551d18', tlv(4, tlv(0x17, Buffer.from('491231235959Z')))))],
  ['a DNS name with a space', extensions(extension('551d11', tlv(4, sequence(dns('a b')))))],
  ['an address of five octets', extensions(extension('551d11', tlv(4, sequence(ip([1, 2, 3, 4, 5])))))],
  ['a subtree without a mask', extensions(extension('551d1e', tlv(4, sequence(tlv(0xa0, sequence(ip([1, 2, 3, 4])))))))],
])('%s is found', (_, der) => {
  expect(faultsOfDer(der)).toHaveLength(1);
}); // prettier-ignore
