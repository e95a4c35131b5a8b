import { jest } from '@jest/globals';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCommand } from '../../../../test/support/ca-service.js';
import { buildCsr, extension, sequence, tlv } from '../../../../test/support/csr.js';
import { eventually } from '../../../../test/support/eventually.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { parseDer } from '../der/der-reader.js';
import { encodePem } from '../der/pem.js';
import { parseOcspRequest } from './ocsp-request.js';
import type { OcspAnswer, OcspResponder } from './ocsp-responder.js';

const hour = 3_600_000;
const unauthorized = '30030a0106';
const tryLater = '30030a0103';

describe('the OCSP responder', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-ocsp-'));
  const file = (name: string, content?: Uint8Array | string): string => {
    const path = join(directory, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  let ca: TestCa;
  let authority: CertificateAuthority;
  let failures: string[];
  beforeEach(async () => {
    ca = await TestCa.create();
    // openssl compares with the real time.
    ca.now = new Date();
    failures = [];
    authority = await open();
    file('chain.pem', authority.chain.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
    file('issuer.pem', encodePem('CERTIFICATE', authority.issuer.certificate.der));
  });
  afterEach(() => ca.remove());

  const open = (): Promise<CertificateAuthority> =>
    ca.open({ ocsp: {} }, { jobFailed: (job, error) => void failures.push(`${job}: ${String(error)}`) });
  const responder = (of = authority): OcspResponder => {
    if (of.status.ocsp === undefined) throw new Error('want OCSP, got none');
    return of.status.ocsp;
  };
  const issue = async (name = 'leaf'): Promise<string> => {
    const { serial, der } = await authority.issue(buildCsr(), 'tls-server');
    file(`${name}.pem`, encodePem('CERTIFICATE', der));
    return serial;
  };
  /** A request made by openssl. */
  const ask = (...options: string[]): Buffer => {
    const path = file('request.der');
    execFileSync('openssl', ['ocsp', '-issuer', file('issuer.pem'), ...options, '-reqout', path], { stdio: 'pipe' });
    return readFileSync(path);
  };
  /** The same request with a nonce of that length. */
  const withNonceOf = (request: Buffer, length: number): Buffer => {
    const [list] = parseDer(request).children[0].children;
    const nonce = extension('2b0601050507300102', tlv(0x04, Buffer.alloc(length, 7)));
    return sequence(sequence(list.raw, tlv(0xa2, sequence(nonce))));
  };
  const leaf = (hash = 'sha1'): Buffer => ask(`-${hash}`, '-no_nonce', '-cert', file('leaf.pem'));
  /** What openssl thinks of an answer. */
  const judge = ({ der }: OcspAnswer, ...options: string[]): string => {
    const [digest] = options.filter((option) => option.startsWith('-sha'));
    const args = ['ocsp', ...(digest === undefined ? [] : [digest]), '-no_nonce', '-respin', file('response.der', der), '-CAfile', file('chain.pem'), '-issuer', file('issuer.pem'), '-cert', file('leaf.pem'), ...options.filter((option) => option !== digest)]; // prettier-ignore
    const { stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    return stderr + stdout;
  };

  test('is signed for in the share of what anybody can ask for, and a revocation in that of issuance', async () => {
    const serial = await issue();
    const sign = jest.spyOn(ca.token, 'sign');
    const classes = (): unknown[] => {
      const calls = sign.mock.calls as unknown as [unknown, unknown, unknown, { readonly trafficClass: string }][];
      const taken = calls.map(([, , , { trafficClass }]) => trafficClass);
      sign.mockClear();
      return taken;
    };
    await responder().respond(leaf());
    await responder().respond(ask('-cert', file('leaf.pem')));
    expect(classes()).toEqual(['interactive', 'interactive']);
    await authority.status.revoke(serial);
    expect(classes().slice(0, 2)).toEqual(['issuance', 'issuance']);
  });

  test.each(['sha1', 'sha256'])(
    'says good, then revoked, of a certificate named by %s, and openssl verifies it',
    async (hash) => {
      const serial = await issue();
      const request = leaf(hash);
      const good = await responder().respond(request);
      expect(judge(good, `-${hash}`)).toMatch(/Response verify OK\n.*leaf.pem: good\n/);
      expect(good.cacheable).toMatchObject({ etag: expect.stringMatching(/^"[\w-]{43}"$/) as string });

      await authority.status.revoke(serial, { reason: 'keyCompromise' });
      const revoked = await responder().respond(request);
      expect(judge(revoked, `-${hash}`)).toMatch(
        /Response verify OK\n.*leaf.pem: revoked\n(.*\n)*\tReason: keyCompromise\n/,
      );
      const text = execFileSync('openssl', ['ocsp', '-respin', file('response.der'), '-noverify', '-resp_text'], { encoding: 'utf8' }); // prettier-ignore
      expect(text).toMatch(/Responder Id: [0-9A-F]{40}\n/);
      expect(text).toContain('OCSP Signing');
      expect(text).toContain('OCSP No Check');
    },
  );

  (hasCommand('ocsptool') ? test : test.skip)('ocsptool of GnuTLS verifies what it says', async () => {
    const serial = await issue();
    const verify = ({ der }: OcspAnswer): string => {
      const args = ['--verify-response', '--load-response', file('response.der', der), '--load-trust', file('chain.pem'), '--load-issuer', file('issuer.pem'), '--load-cert', file('leaf.pem')]; // prettier-ignore
      const { stdout, stderr } = spawnSync('ocsptool', args, { encoding: 'utf8' });
      return stdout + stderr;
    };
    expect(verify(await responder().respond(leaf()))).toContain('Verifying OCSP Response: Success.');
    await authority.status.revoke(serial, { reason: 'affiliationChanged' });
    const revoked = await responder().respond(leaf());
    expect(verify(revoked)).toContain('Verifying OCSP Response: Success.');
    const text = execFileSync('ocsptool', ['--response-info', '--infile', file('response.der', revoked.der)], { encoding: 'utf8' }); // prettier-ignore
    expect(text).toMatch(/Certificate Status: revoked/);
    const forged = Buffer.from(revoked.der);
    forged[forged.indexOf(Buffer.from(serial, 'hex'))] ^= 1;
    expect(verify({ ...revoked, der: forged })).not.toContain('Verifying OCSP Response: Success.');
  });

  test('signs once for everybody, and for each who sends a nonce, which comes back', async () => {
    await issue();
    const request = leaf();
    const before = ca.token.signatures;
    const answers = await Promise.all(Array.from({ length: 20 }, () => responder().respond(request)));
    expect([new Set(answers.map(({ der }) => der.toString('hex'))).size, ca.token.signatures - before]).toEqual([1, 1]);
    const withNonce = ask('-nonce', '-cert', file('leaf.pem'));
    const fresh = await responder().respond(withNonce);
    expect([fresh.cacheable, fresh.der.includes(parseOcspRequest(withNonce).nonce ?? 'none')]).toEqual([
      undefined,
      true,
    ]);
    expect(judge(fresh)).toMatch(/Response verify OK\n/);
    expect(ca.token.signatures - before).toBe(2);
  });

  test.each([1, 32, 33, 128])(
    'gives a nonce of %d octets back, in a response that openssl verifies',
    async (length) => {
      await issue();
      const answer = await responder().respond(withNonceOf(leaf(), length));
      expect(judge(answer)).toMatch(/Response verify OK\n.*leaf.pem: good\n/);
      expect(answer.der.includes(tlv(0x04, Buffer.alloc(length, 7)))).toBe(true);
    },
  );

  test.each([0, 129])('says malformedRequest of a nonce of %d octets', async (length) => {
    await issue();
    expect((await responder().respond(withNonceOf(leaf(), length))).outcome).toBe('malformedRequest');
  });

  /** Has what is signed for those who ask wait, and revocations not. @returns lets it go on */
  const holdUp = (): (() => void) => {
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const sign = ca.token.sign.bind(ca.token);
    jest.spyOn(ca.token, 'sign').mockImplementation(async (...args: Parameters<typeof sign> | [...Parameters<typeof sign>, { trafficClass: string }]) => {
      if (args[3]?.trafficClass === 'interactive') await held;
      return sign(args[0], args[1], args[2]);
    }); // prettier-ignore
    return goOn;
  };

  test('looks the status up when the turn of the asker has come: what was revoked while they waited is revoked', async () => {
    const serial = await issue();
    ca.token.load.sessions = 1;
    const goOn = holdUp();
    const request = withNonceOf(leaf(), 16);
    const underWay = [responder().respond(request), responder().respond(request)];
    const waiting = responder().respond(request);
    await authority.status.revoke(serial);
    goOn();
    expect((await Promise.all(underWay)).map(({ outcome }) => outcome)).toEqual(['successful', 'successful']);
    expect(judge(await waiting)).toMatch(/Response verify OK\n.*leaf.pem: revoked\n/);
  });

  test('gives nobody a response to keep that a revocation made false while it was signed', async () => {
    const serial = await issue();
    const request = leaf();
    const goOn = holdUp();
    const answer = responder().respond(request);
    await authority.status.revoke(serial);
    goOn();
    expect(judge(await answer)).toMatch(/Response verify OK\n.*leaf.pem: revoked\n/);
    expect(judge(await responder().respond(request))).toMatch(/leaf.pem: revoked\n/);
  });

  test('turns away who floods, says when to try again, and serves the next asker and a response for everybody', async () => {
    await issue();
    ca.token.load.sessions = 1;
    const [plain, withNonce] = [leaf(), withNonceOf(leaf(), 16)];
    const spent: string[] = [];
    const ask = async (asker: string, request = withNonce): Promise<OcspAnswer> =>
      responder().respond(request, { asker, isSpent: false, retryAfterSeconds: 60, spend: () => void spent.push(asker) });
    const goOn = holdUp();
    const flood = Array.from({ length: 100 }, () => ask('192.0.2.1'));
    const [other, forEverybody] = [ask('192.0.2.2'), ask('192.0.2.3', plain)];
    goOn();
    const answers = await Promise.all(flood);
    const served = answers.filter(({ outcome }) => outcome === 'successful').length;
    expect(answers.filter(({ outcome }) => outcome === 'tryLater')).toHaveLength(100 - served);
    expect(answers.find(({ outcome }) => outcome === 'tryLater')?.retryAfterSeconds).toBe(1);
    // Two under way, and half of sixteen places; who was turned away has paid nothing.
    expect([served, spent.filter((asker) => asker === '192.0.2.1').length]).toEqual([10, 10]);
    expect(await Promise.all([other, forEverybody])).toMatchObject([{ outcome: 'successful' }, { outcome: 'successful' }]);
    expect((await ask('192.0.2.1')).outcome).toBe('successful');
    expect(failures.filter((failure) => failure.startsWith('ocsp'))).toEqual([]);
  }); // prettier-ignore

  test('asks for another signature when the first is wrong, and tells nobody of a wrong one', async () => {
    await issue();
    const request = withNonceOf(leaf(), 16);
    let wrong = 1;
    ca.token.fault = (signature) => {
      if (wrong-- > 0) signature[signature.length - 1] ^= 1;
      return signature;
    };
    expect(judge(await responder().respond(request))).toMatch(/Response verify OK\n/);
    wrong = Infinity;
    expect(await responder().respond(request)).toMatchObject({ outcome: 'tryLater', retryAfterSeconds: 5 });
    expect(failures.filter((failure) => failure.startsWith('ocsp'))).toEqual([
      expect.stringContaining('want one its public key verifies, got another'),
    ]);
  });

  test('goes on with what is in memory while the database is away', async () => {
    await issue('other');
    await issue();
    const request = leaf();
    const { der } = await responder().respond(request);
    const tables = ['ca_certificate', 'ca_revocation', 'ca_status_sequence', 'ca_ocsp_response'];
    const rename = async (from: string, to: string): Promise<void> => {
      for (const table of tables) await ca.dataSource.query(`ALTER TABLE ${table}${from} RENAME TO ${table}${to}`);
    };
    await rename('', '_away');
    const unsigned = ask('-no_nonce', '-cert', file('other.pem'));
    const answers = [request, unsigned, withNonceOf(request, 16)].map((each) => responder().respond(each));
    expect(await Promise.all(answers)).toMatchObject([{ der }, { outcome: 'tryLater', retryAfterSeconds: 5 }, { outcome: 'tryLater' }]); // prettier-ignore
    await rename('_away', '');
    expect((await responder().respond(unsigned)).outcome).toBe('successful');
    expect((await responder().respond(withNonceOf(request, 16))).outcome).toBe('successful');
  });

  test('answers for several certificates of one request', async () => {
    await issue('other');
    const serial = await issue();
    await authority.status.revoke(serial, { reason: 'certificateHold' });
    const answer = await responder().respond(ask('-no_nonce', '-cert', file('leaf.pem'), '-cert', file('other.pem')));
    expect(judge(answer, '-cert', file('other.pem'))).toMatch(/leaf.pem: revoked\n(.*\n)*.*other.pem: good\n/);
    const twice = await responder().respond(ask('-no_nonce', '-cert', file('leaf.pem'), '-cert', file('leaf.pem')));
    expect(judge(twice)).toMatch(/Response verify OK\n.*leaf.pem: revoked\n/);
    const oneUnknown = ask('-no_nonce', '-cert', file('leaf.pem'), '-serial', '0x4142434445464748494a4b4c4d4e4f50');
    expect((await responder().respond(oneUnknown)).der.toString('hex')).toBe(unauthorized);
    await authority.status.release(serial);
    expect(judge(await responder().respond(leaf()))).toMatch(/leaf.pem: good\n/);
  });

  test('says an unsigned unauthorized of what it has not issued, or what has expired, and malformedRequest of noise', async () => {
    const before = ca.token.signatures;
    const unknown = await responder().respond(ask('-no_nonce', '-serial', '0x4142434445464748494a4b4c4d4e4f50'));
    const withNonce = await responder().respond(ask('-nonce', '-serial', '0x4142434445464748494a4b4c4d4e4f50'));
    expect([unknown, withNonce].map(({ der }) => der.toString('hex'))).toEqual([unauthorized, unauthorized]);
    const root = file('root.pem', encodePem('CERTIFICATE', authority.root.der));
    execFileSync('openssl', ['ocsp', '-issuer', root, '-serial', '1', '-no_nonce', '-reqout', file('request.der')]);
    expect((await responder().respond(readFileSync(file('request.der')))).outcome).toBe('unauthorized');
    expect((await responder().respond(Buffer.from('noise'))).der.toString('hex')).toBe('30030a0101');
    expect(ca.token.signatures).toBe(before);

    await issue();
    const request = leaf();
    expect((await responder().respond(request)).outcome).toBe('successful');
    ca.now = new Date(ca.now.getTime() + 91 * 24 * hour);
    await authority.status.refreshOcsp();
    expect((await responder().respond(request)).outcome).toBe('unauthorized');
  });

  test('goes on with what is signed while the HSM is down, and never with what a revocation has made false', async () => {
    const serial = await issue('leaf');
    await issue('never-asked');
    const request = leaf();
    await responder().respond(request);
    ca.token.fault = () => {
      throw new Error('HSM down');
    };
    expect((await responder().respond(request)).outcome).toBe('successful');
    const unsigned = ask('-no_nonce', '-cert', file('never-asked.pem'));
    expect((await responder().respond(unsigned)).der.toString('hex')).toBe(tryLater);
    await authority.status.revoke(serial);
    expect((await responder().respond(request)).der.toString('hex')).toBe(tryLater);
    expect(failures.every((failure) => failure.endsWith('Error: HSM down'))).toBe(true);
    ca.token.fault = undefined;
    expect(judge(await responder().respond(request))).toMatch(/leaf.pem: revoked\n/);
  });

  test('serves a replica the response of another one, and a second later its revocation', async () => {
    const replica = await open();
    const serial = await issue();
    const request = leaf();
    const { der } = await responder().respond(request);
    const before = ca.token.signatures;
    expect((await responder(replica).respond(request)).der).toEqual(der);
    expect(ca.token.signatures).toBe(before);
    await authority.status.revoke(serial);
    let answer = await responder(replica).respond(request);
    await eventually(async () => {
      answer = await responder(replica).respond(request);
      return !answer.der.equals(der);
    });
    expect(judge(answer)).toMatch(/leaf.pem: revoked\n/);
  });

  test('refreshes responses when half of their time has passed, each once, and renews its own certificate', async () => {
    await issue();
    const request = leaf();
    const first = await responder().respond(request);
    ca.now = new Date(ca.now.getTime() + 47 * hour);
    await authority.status.refreshOcsp();
    expect((await responder().respond(request)).der).toEqual(first.der);
    ca.now = new Date(ca.now.getTime() + 2 * hour);
    const before = ca.token.signatures;
    await authority.status.refreshOcsp();
    await authority.status.refreshOcsp();
    expect(ca.token.signatures - before).toBe(1);
    const second = await responder().respond(request);
    expect(second.der.equals(first.der)).toBe(false);
    expect(ca.token.signatures - before).toBe(1);

    ca.now = new Date(ca.now.getTime() + 6 * 24 * hour);
    await authority.status.refreshOcsp();
    const certificates = await ca.dataSource.query<{ serial: string }[]>(
      "SELECT serial FROM ca_certificate WHERE profile = 'own OCSP responder' AND state = 'issued'",
    );
    expect(certificates).toHaveLength(2);
    // What is signed from now on carries the new one.
    const [{ certificate }] = await ca.dataSource.query<{ certificate: string }[]>('SELECT certificate FROM ca_certificate c JOIN ca_ocsp_responder o ON o.serial = c.serial'); // prettier-ignore
    const { der } = await responder().respond(withNonceOf(request, 16));
    expect([der.includes(Buffer.from(certificate, 'base64')), second.der.includes(Buffer.from(certificate, 'base64'))]).toEqual([true, false]); // prettier-ignore
    expect((await ca.token.listKeys({ usage: 'sign' })).map(({ label }) => label)).toEqual([
      'root',
      'issuing',
      'issuing-ocsp',
    ]);
    expect(failures).toEqual([]);
  });

  test('signs anew what it signed while its clock was ahead', async () => {
    await issue();
    const request = leaf();
    const real = ca.now;
    ca.now = new Date(real.getTime() + 2 * hour);
    expect(judge(await responder().respond(request))).toMatch(/status not yet valid/);
    ca.now = real;
    expect(judge(await responder().respond(request))).toMatch(/Response verify OK\n.*leaf.pem: good\n/);
  });

  test.each(['keyCompromise', 'superseded'] as const)(
    'once its certificate is revoked for %s makes itself another key, with which everything is signed anew',
    async (reason) => {
      await issue();
      const request = leaf();
      const first = await responder().respond(request);
      const revoke = async (): Promise<void> => {
        const [{ serial }] = await ca.dataSource.query<{ serial: string }[]>('SELECT serial FROM ca_ocsp_responder');
        await authority.status.revoke(serial, { reason, includesOwn: true });
        await authority.status.refreshOcsp();
      };
      await revoke();
      const second = await responder().respond(request);
      expect(second.der.equals(first.der)).toBe(false);
      expect(judge(second)).toMatch(/Response verify OK\n.*leaf.pem: good\n/);
      await revoke();
      // Another process, and this one started again, have the newest key too.
      const replica = await open();
      const third = await responder(replica).respond(request);
      expect((await responder().respond(request)).der).toEqual(third.der);
      expect((await ca.token.listKeys({ usage: 'sign' })).map(({ label }) => label)).toEqual(['root', 'issuing', 'issuing-ocsp', 'issuing-ocsp-2-ocsp', 'issuing-ocsp-3-ocsp']); // prettier-ignore
      expect(failures).toEqual([]);
    },
  );

  test('is named as its issuer is, by country and organization', async () => {
    const other = await TestCa.create();
    const subject = { commonName: 'Test Issuing', locality: 'Berlin', organization: 'Example', country: 'DE' };
    const root = { label: 'root', subject: { commonName: 'Test Root' } };
    const opened = await other.open({ ocsp: {}, authority: { root, issuing: { label: 'issuing', subject }, initialize: true } }); // prettier-ignore
    const [row] = await other.dataSource.query<{ serial: string }[]>('SELECT serial FROM ca_ocsp_responder');
    const found = await other.certificates.find(row.serial);
    expect(new X509Certificate(found?.certificate ?? '').subject).toBe(
      `C=DE\nO=Example\nCN=OCSP responder of ${opened.issuer.id.slice(0, 16)}`,
    );
    await opened.close();
    await other.remove();
  });

  test('signs nothing with a key that was given up, even while there is no other', async () => {
    await issue();
    await issue('other');
    const [{ serial }] = await ca.dataSource.query<{ serial: string }[]>('SELECT serial FROM ca_ocsp_responder');
    await authority.status.revoke(serial, { includesOwn: true });
    const generate = jest.spyOn(ca.token, 'generateKeyPair').mockRejectedValue(new Error('token full'));
    await authority.status.refreshOcsp().catch(() => undefined);
    expect((await responder().respond(ask('-no_nonce', '-cert', file('other.pem')))).outcome).toBe('tryLater');
    generate.mockRestore();
    await authority.status.refreshOcsp();
    expect((await responder().respond(leaf())).outcome).toBe('successful');
  });
});
