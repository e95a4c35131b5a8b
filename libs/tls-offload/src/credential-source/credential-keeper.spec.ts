import 'reflect-metadata';
import { Hsm, HsmError } from '@nest-hsm/hsm';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestToken } from '../../../../test/support/token.js';
import { dueCertificate } from '../../test/due-certificate.js';
import { connectTls, eventually, listen } from '../../test/listen.js';
import { OpensslCa } from '../../test/openssl-ca.js';
import type { Credential } from '../credential.js';
import type { CaCredentialConfig } from '../config.js';
import { TlsOffloadError } from '../errors.js';
import { TlsTerminator } from '../terminator.js';
import { CaCredentialSource } from './ca.js';
import { CredentialKeeper } from './credential-keeper.js';
import type { CredentialSource } from './credential-source.js';
import { FileCredentialSource } from './file.js';
import { proveByHandshake } from './self-handshake.js';

const token = new TestToken('tls');
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-keeper-'));
const ca = new OpensslCa();
let hsm: Hsm;
let count = 0;

beforeAll(async () => {
  hsm = await Hsm.open(token.config());
  await ca.listen();
});
beforeEach(() => {
  ca.behaviour = {};
  ca.requests.length = 0;
  count++;
});
afterAll(async () => {
  await hsm.close();
  await ca.stop();
  ca.remove();
  token.remove();
  rmSync(directory, { recursive: true });
});

function caConfig(changes: Partial<CaCredentialConfig> = {}): CaCredentialConfig {
  return {
    url: ca.url,
    tokenFile: ca.tokenFile,
    dnsNames: ['localhost'],
    keyLabel: `key-${count}`,
    certificateFile: join(directory, `certificate-${count}.pem`),
    ...changes,
  };
}

/** A source whose stored certificate is due. */
async function dueFrom(config: CaCredentialConfig): Promise<[CaCredentialSource, Credential]> {
  rmSync(config.certificateFile, { force: true });
  await new CaCredentialSource(hsm, config).look(undefined);
  writeFileSync(config.certificateFile, await dueCertificate(ca.requests[ca.requests.length - 1].csr));
  const source = new CaCredentialSource(hsm, config);
  return [source, (await source.look(undefined)) as Credential];
}

/** Answers that it gives in order, the last one for ever. */
function scripted(...answers: (Credential | Error | undefined)[]): CredentialSource {
  return {
    name: 'scripted',
    intervalMilliseconds: 10,
    longestBackOffMilliseconds: 10,
    look: () => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
}

describe('a keeper of credentials', () => {
  const away = new TlsOffloadError('ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE', 'issuer: want it there, got nothing');
  let one: Credential;
  let other: Credential;

  beforeAll(async () => {
    one = (await new CaCredentialSource(hsm, caConfig({ keyLabel: 'one' })).look(undefined)) as Credential;
    other = (await new CaCredentialSource(
      hsm,
      caConfig({ keyLabel: 'other', certificateFile: join(directory, 'other') }),
    ).look(undefined)) as Credential;
  });

  it('waits for what passes, and for nothing else', async () => {
    const told: string[] = [];
    const keeper = await CredentialKeeper.start(scripted(away, one, undefined), {
      failed: (error, next) => told.push(`${(error as TlsOffloadError).code} ${next > 0}`),
    });
    expect([keeper.current, told]).toEqual([one, ['ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE true']]);
    expect(keeper.status).toEqual({ failures: 1, failing: undefined });
    await keeper.stop();

    const refused = new TlsOffloadError('ERR_TLS_OFFLOAD_ISSUANCE_REFUSED', 'want, got');
    await expect(CredentialKeeper.start(scripted(refused))).rejects.toBe(refused);
    const aborted = CredentialKeeper.start(scripted(away), {}, AbortSignal.timeout(20));
    await expect(aborted).rejects.toThrow(/abort|timeout/i);
  });

  it('takes what is better, keeps it through failures, and says how long they last', async () => {
    const replaced: [Credential, Credential][] = [];
    const broken = new HsmError('ERR_HSM_KEY_NOT_FOUND', 'want, got');
    const keeper = await CredentialKeeper.start(scripted(one, undefined, other, broken), {
      replaced: (next, before) => replaced.push([next, before]),
    });
    await eventually(() => keeper.status.failures > 2);
    expect(keeper.current).toBe(other);
    expect(replaced).toEqual([[other, one]]);
    expect(keeper.status.failing).toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND', message: 'want, got' });
    const { failures } = keeper.status;
    await keeper.check();
    expect(keeper.status.failures).toBeGreaterThan(failures);
    await keeper.stop();
    const { failures: last } = keeper.status;
    await keeper.check();
    expect(keeper.status.failures).toBe(last);
  });
});

describe('a certificate that renews itself', () => {
  const serial = (credential?: Credential): string | undefined => credential?.chain[0].serialNumber;

  it('is renewed when two thirds of its life are over, with its key or with a new one', async () => {
    const [plain, due] = await dueFrom(caConfig());
    const second = await plain.look(due);
    expect(second?.key.id).toBe(due.key.id);
    expect(ca.requests).toHaveLength(2);
    expect(await plain.look(second)).toBeUndefined();

    const [rotating, dueAgain] = await dueFrom(caConfig({ renewKey: true }));
    expect([dueAgain.key.version, (await rotating.look(dueAgain))?.key.version]).toEqual([1, 2]);
  });

  it('goes on with the version of the key that an interrupted renewal left', async () => {
    const config = caConfig({ renewKey: true });
    const [source, due] = await dueFrom(config);
    ca.behaviour = { refuse: { status: 503, problem: { code: 'ERR_DOWN' } } };
    await expect(source.look(due)).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE' });
    // As after kill -9: what is stored serves, with the version that it is for.
    const again = new CaCredentialSource(hsm, config);
    const stored = await again.look(undefined);
    expect([serial(stored), stored?.key.version]).toEqual([serial(due), 1]);
    ca.behaviour = {};
    expect((await again.look(stored))?.key.version).toBe(2);
    expect(await hsm.listKeys({ label: config.keyLabel })).toHaveLength(2);
  });

  it('is renewed by one process for all that share its file', async () => {
    const config = caConfig();
    const [one, due] = await dueFrom(config);
    const other = new CaCredentialSource(hsm, config);
    const asked = ca.requests.length;
    const seconds = await Promise.all([one.look(due), other.look(due)]);
    expect(ca.requests).toHaveLength(asked + 1);
    expect(serial(seconds[0])).toBe(serial(seconds[1]));
    expect(serial(seconds[0])).not.toBe(serial(due));
  });

  it('has the keys before it destroyed where that is wanted, after a while', async () => {
    const [source, due] = await dueFrom(caConfig({ renewKey: true, destroyReplacedKeysAfterSeconds: 300 }));
    const second = (await source.look(due)) as Credential;
    const versions = async () => (await hsm.listKeys({ label: second.key.label })).map(({ version }) => version);
    await source.look(second);
    expect(await versions()).toHaveLength(2);
    const later = performance.now() + 301_000;
    const now = performance.now.bind(performance);
    performance.now = () => later;
    await source.look(second).finally(() => (performance.now = now));
    expect(await versions()).toEqual([2]);
    await proveByHandshake(second);
  });

  it('is not served, nor stored, unless a client takes it', async () => {
    ca.behaviour = {
      extensions: 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n',
    };
    const attempt = new CaCredentialSource(hsm, caConfig()).look(undefined);
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      message: expect.stringMatching(/want a client to take it, got unsuitable certificate purpose/),
    });
    expect(existsSync(caConfig().certificateFile)).toBe(false);
  });
});

describe('a certificate in a file', () => {
  it('is swapped under open connections when the file is whole, and not before', async () => {
    const label = `key-${count}`;
    const [source, first] = await dueFrom(caConfig({ renewKey: true }));
    const pem = (credential: Credential): string => credential.chain.map((each) => each.toString()).join('');
    const file = join(directory, 'watched.pem');
    writeFileSync(file, pem(first));

    const failures: string[] = [];
    const keeper = await CredentialKeeper.start(
      new FileCredentialSource(hsm, { keyLabel: label, certificateFile: file }),
      {
        replaced: (credential) => terminator.setCredentials({ credentials: [credential] }),
        failed: (error) => failures.push((error as TlsOffloadError).code),
      },
    );
    const terminator = new TlsTerminator({ credentials: [keeper.current] });
    await using listener = await listen(terminator, (socket) => socket.pipe(socket));
    // The first was signed by nobody in particular.
    const trust = [readFileSync(ca.rootFile), pem(first)];
    const open = await connectTls({ port: listener.port, ca: trust, allowPartialTrustChain: true });
    const serial = open.getPeerX509Certificate()?.serialNumber;
    expect(serial).toBe(first.chain[0].serialNumber);

    const second = (await source.look(first)) as Credential;
    writeFileSync(file, pem(second).slice(0, 300));
    const looking = keeper.check();
    // The other half comes while the file is being looked at.
    writeFileSync(file, pem(second));
    await looking;
    await eventually(() => keeper.current.chain[0].serialNumber === second.chain[0].serialNumber);
    expect([keeper.current.key.version, failures]).toEqual([2, []]);
    const fresh = await connectTls({ port: listener.port, ca: trust, allowPartialTrustChain: true });
    expect(fresh.getPeerX509Certificate()?.serialNumber).toBe(second.chain[0].serialNumber);
    fresh.destroy();

    // Of another key: an alarm, and nothing changes. Mended by a rename, as tools do it.
    const stranger = await new CaCredentialSource(
      hsm,
      caConfig({ keyLabel: 'stranger', certificateFile: join(directory, 'stranger.pem') }),
    ).look(undefined);
    writeFileSync(file, pem(stranger as Credential));
    await keeper.check();
    expect([failures, keeper.status.failing?.code]).toEqual([
      ['ERR_TLS_OFFLOAD_KEY_MISMATCH'],
      'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    ]);
    writeFileSync(`${file}.new`, pem(first));
    renameSync(`${file}.new`, file);
    await keeper.check();
    expect(keeper.current.chain[0].serialNumber).toBe(serial);
    expect(keeper.status.failing).toBeUndefined();

    open.write('still here');
    const [answer] = (await once(open, 'data')) as [Buffer];
    expect(answer.toString()).toBe('still here');
    open.destroy();
    await keeper.stop();
  });
});
