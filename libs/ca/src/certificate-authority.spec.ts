import { X509Certificate } from 'node:crypto';
import { HsmError } from '@nest-hsm/hsm';
import { X509Certificate as PeculiarCertificate } from '@peculiar/x509';
import { buildCsr, commonName, dns, extensionRequest, noName, subjectAltName } from '../../../test/support/csr.js';
import { TestCa } from '../../../test/support/test-ca.js';

const minute = 60_000;
const day = 24 * 60 * minute;

describe('CertificateAuthority', () => {
  let ca: TestCa;
  beforeEach(async () => (ca = await TestCa.create()));
  afterEach(() => ca.remove());

  test('issues in a straight line, and two other parsers read what was asked for', async () => {
    const steps: string[] = [];
    const authority = await ca.open({}, { step: (step) => void steps.push(step) });
    steps.length = 0;
    const csr = buildCsr({
      subject: commonName('a.example.test'),
      attributes: [extensionRequest(subjectAltName(dns('B.example.test')))],
    });
    const issued = await authority.issue(csr, 'tls-server', { requester: 'tester' });
    expect(steps).toEqual([
      'certificate-reserved',
      'certificate-linted',
      'certificate-committed',
      'certificate-signed',
      'certificate-completed',
    ]);

    const openssl = new X509Certificate(issued.der);
    expect(openssl.verify(authority.issuer.publicKey)).toBe(true);
    expect([openssl.subject, openssl.subjectAltName]).toEqual([
      'CN=a.example.test',
      'DNS:a.example.test, DNS:b.example.test',
    ]);
    expect(openssl.checkIssued(new X509Certificate(authority.issuer.certificate.der))).toBe(true);
    const peculiar = new PeculiarCertificate(issued.der);
    expect(peculiar.serialNumber).toBe(issued.serial);
    expect(peculiar.extensions.map(({ type, critical }) => [type, critical])).toEqual([
      ['2.5.29.15', true],
      ['2.5.29.37', false],
      ['2.5.29.19', true],
      ['2.5.29.35', false],
      ['2.5.29.32', false],
      ['2.5.29.14', false],
      ['2.5.29.17', false],
    ]);
    expect([peculiar.notBefore, peculiar.notAfter]).toEqual([
      new Date('2026-11-22T11:59:00Z'),
      new Date('2027-02-20T11:58:59Z'),
    ]);
    expect(await ca.certificates.find(issued.serial)).toMatchObject({
      state: 'issued',
      profile: 'tls-server',
      requester: 'tester',
      tbs: undefined,
    });
  });

  test('without a commonName the subject is empty and SubjectAltName critical', async () => {
    const authority = await ca.open();
    const csr = buildCsr({ subject: noName, attributes: [extensionRequest(subjectAltName(dns('a.example.test')))] });
    const certificate = new PeculiarCertificate((await authority.issue(csr, 'tls-client')).der);
    expect(certificate.subject).toBe('');
    expect(certificate.getExtension('2.5.29.17')?.critical).toBe(true);
  });

  test('a name too long for a commonName is in SubjectAltName alone', async () => {
    const name = `${'a'.repeat(60)}.example.test`;
    const authority = await ca.open();
    const certificate = new X509Certificate(
      (await authority.issue(buildCsr({ subject: commonName(name) }), 'tls-server')).der,
    );
    expect([certificate.subject, certificate.subjectAltName]).toEqual([undefined, `DNS:${name}`]);
  });

  test('no certificate outlives its issuer, and an expired issuer issues nothing', async () => {
    const hierarchy = await ca.open();
    const end = hierarchy.issuer.certificate.validity.notAfter;
    ca.now = new Date(end.getTime() - 10 * day);
    expect((await hierarchy.issue(buildCsr(), 'tls-server')).notAfter).toEqual(end);
    ca.now = end;
    await expect(hierarchy.issue(buildCsr(), 'tls-server')).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
  });

  test('opens again with the same keys and certificates, and signs nothing for it', async () => {
    const first = await ca.open();
    const signatures = ca.token.signatures;
    const second = await ca.open();
    expect(second.chain.map(({ der }) => der)).toEqual(first.chain.map(({ der }) => der));
    expect(ca.token.signatures).toBe(signatures);
  });

  describe('a ticket', () => {
    test('is redeemed once', async () => {
      const authority = await ca.open();
      const ticket = await authority.prepare(buildCsr(), 'tls-server');
      const signatures = ca.token.signatures;
      const outcomes = await Promise.allSettled([
        authority.redeem(ticket),
        authority.redeem(ticket),
        authority.redeem(ticket),
      ]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
      expect(ca.token.signatures - signatures).toBe(1);
    });

    test('expires', async () => {
      const authority = await ca.open();
      const ticket = await authority.prepare(buildCsr(), 'tls-server');
      ca.now = new Date(ca.now.getTime() + 30_000);
      await expect(authority.redeem(ticket)).rejects.toMatchObject({ code: 'ERR_CA_TICKET_REFUSED' });
    });

    test('is worthless once its row is voided', async () => {
      const authority = await ca.open();
      const ticket = await authority.prepare(buildCsr(), 'tls-server');
      await ca.certificates.void(ticket.binding.serial);
      const signatures = ca.token.signatures;
      await expect(authority.redeem(ticket)).rejects.toMatchObject({ code: 'ERR_CA_TICKET_REFUSED' });
      expect(ca.token.signatures).toBe(signatures);
    });

    test('cannot be changed', async () => {
      const ticket = await (await ca.open()).prepare(buildCsr(), 'tls-server');
      expect(() => Object.assign(ticket.binding, { serial: '00' })).toThrow(TypeError);
    });
  });

  describe('a signature', () => {
    test('that does not verify is never released; the row waits and is completed with the same TBS', async () => {
      const authority = await ca.open();
      ca.token.fault = (signature) => Buffer.from(signature.map((octet, index) => (index === 20 ? octet ^ 1 : octet)));
      await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toMatchObject({
        code: 'ERR_CA_SIGNATURE_INVALID',
      });
      const [waiting] = await ca.certificates.listSigning(authority.issuer.id);
      await expect(authority.find(waiting.serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });

      ca.token.fault = undefined;
      const again = await ca.open();
      const { der } = await again.find(waiting.serial);
      expect(der.includes(waiting.tbs ?? 'nothing')).toBe(true);
      expect((await ca.certificates.find(waiting.serial))?.tbsSha256).toBe(waiting.tbsSha256);
    });

    test('that is wrong once is made once more, of the same TBS', async () => {
      const authority = await ca.open();
      ca.token.fault = () => {
        ca.token.fault = undefined;
        return Buffer.alloc(70);
      };
      const signatures = ca.token.signatures;
      const { serial } = await authority.issue(buildCsr(), 'tls-server');
      expect(ca.token.signatures).toBe(signatures + 2);
      expect((await ca.certificates.find(serial))?.state).toBe('issued');
    });

    test('the token could not make leaves the row to recovery too', async () => {
      const authority = await ca.open();
      ca.token.fault = () => {
        throw new HsmError('ERR_HSM_UNAVAILABLE', 'gone');
      };
      await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toMatchObject({ code: 'ERR_HSM_UNAVAILABLE' });
      expect(await ca.states()).toEqual(expect.arrayContaining(['signing']));
      await ca.open();
      expect(await ca.states()).toEqual(expect.arrayContaining(['signing']));
      ca.token.fault = undefined;
      await ca.open();
      expect(await ca.states()).toEqual(['issued', 'issued', 'issued']);
    });

    test('completed by somebody else first: theirs counts', async () => {
      const authority = await ca.open();
      const ticket = await authority.prepare(buildCsr(), 'tls-server');
      const { serial } = ticket.binding;
      let theirs: Buffer | undefined;
      const complete = ca.certificates.complete.bind(ca.certificates);
      ca.certificates.complete = async (row, der, at) => {
        theirs = Buffer.from(der);
        await complete(row, theirs, at);
        return complete(row, der, at);
      };
      expect((await authority.redeem(ticket)).der).toEqual(theirs);
      expect((await authority.find(serial)).der).toEqual(theirs);
    });
  });

  test('a reserved serial is voided once its ticket has expired, not before', async () => {
    const authority = await ca.open();
    const { serial } = (await authority.prepare(buildCsr(), 'tls-server')).binding;
    await ca.open();
    expect((await ca.certificates.find(serial))?.state).toBe('reserved');
    ca.now = new Date(ca.now.getTime() + 30_000);
    await ca.open();
    expect((await ca.certificates.find(serial))?.state).toBe('voided');
  });

  test('a database that fails is one error, its cause kept', async () => {
    const authority = await ca.open();
    await ca.dataSource.query('ALTER TABLE ca_certificate RENAME TO gone');
    await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toMatchObject({
      code: 'ERR_CA_STORE_UNAVAILABLE',
      // Not any(Error): the driver's errors are those of the test file that loaded it first.
      cause: { message: expect.stringContaining('no such table') },
    });
  });

  test('after close every method fails', async () => {
    const authority = await ca.open();
    const ticket = await authority.prepare(buildCsr(), 'tls-server');
    await authority.close();
    const closed = { code: 'ERR_CA_CLOSED' };
    await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toMatchObject(closed);
    await expect(authority.prepare(buildCsr(), 'tls-server')).rejects.toMatchObject(closed);
    await expect(authority.redeem(ticket)).rejects.toMatchObject(closed);
    await expect(authority.find('00')).rejects.toMatchObject(closed);
  });

  test('the entities are what the migrations make', async () => {
    const { upQueries } = await ca.dataSource.driver.createSchemaBuilder().log();
    expect(upQueries).toEqual([]);
  });
});

describe('the CRL', () => {
  let ca: TestCa;
  beforeEach(async () => (ca = await TestCa.create()));
  afterEach(() => ca.remove());

  test('is renewed when half of its time has passed, under the next number', async () => {
    const first = (await ca.open()).crl;
    expect([first.number, first.nextUpdate.getTime() - first.thisUpdate.getTime()]).toEqual([1, 7 * day]);
    ca.now = new Date(ca.now.getTime() + 3.4 * day);
    expect((await ca.open()).crl.number).toBe(1);
    ca.now = new Date(ca.now.getTime() + 0.2 * day);
    const second = (await ca.open()).crl;
    expect(second.number).toBe(2);
    expect(second.nextUpdate > first.nextUpdate).toBe(true);
  });

  test('left unsigned by a crash is followed by the next one, and one that lapsed keeps the CA from opening', async () => {
    await (await ca.open()).close();
    ca.now = new Date(ca.now.getTime() + 4 * day);
    ca.token.fault = () => {
      throw new HsmError('ERR_HSM_UNAVAILABLE', 'gone');
    };
    expect((await ca.open()).crl.number).toBe(1);
    ca.now = new Date(ca.now.getTime() + 4 * day);
    await expect(ca.open()).rejects.toMatchObject({ code: 'ERR_HSM_UNAVAILABLE' });
    ca.token.fault = undefined;
    expect((await ca.open()).crl.number).toBe(4);
  });
});
