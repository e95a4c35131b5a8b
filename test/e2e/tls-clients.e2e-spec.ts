import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type AsymmetricKeyAlgorithm, Hsm, type HsmKey } from '@nest-hsm/hsm';
import { Credential, TlsTerminator } from '@nest-hsm/tls-offload';
import { listen, type Listener } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { makeCertificateRequest } from '../../libs/tls-offload/src/credential-source/certificate-request.js';
import { TestToken } from '../support/token.js';

const run = promisify(execFile);

describe('keys on a token, as openssl s_client sees them', () => {
  const token = new TestToken('tls');
  const ca = new OpensslCa();
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-clients-'));
  let hsm: Hsm;
  let ec: HsmKey;
  let rsa: HsmKey;

  beforeAll(async () => {
    hsm = await Hsm.open(token.config());
    ec = await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
    rsa = await hsm.generateKeyPair({ label: 'rsa', algorithm: 'rsa-2048' });
  });
  afterAll(async () => {
    await hsm.close();
    token.remove();
    ca.remove();
    rmSync(directory, { recursive: true });
  });

  async function credentialFor(key: HsmKey, name = 'localhost'): Promise<Credential> {
    const request = await makeCertificateRequest(hsm, key, { dnsNames: [name], ipAddresses: [] });
    return Credential.fromPem(ca.issue(request), key, hsm);
  }

  async function serve(): Promise<Listener> {
    const credentials = [await credentialFor(ec), await credentialFor(rsa)];
    const named = { 'other.example': [await credentialFor(ec, 'other.example')] };
    const terminator = new TlsTerminator({ credentials, serverNames: named });
    return listen(terminator, (socket) => void socket.pipe(socket));
  }

  /** What s_client reports of a handshake whose certificate it verified. */
  async function sClient(port: number, ...args: string[]): Promise<string> {
    const trust = ['-CAfile', ca.rootFile, '-verify_return_error', '-verify_hostname'];
    const name = args.includes('-servername') ? [] : ['-servername', 'localhost'];
    const host = args[args.indexOf('-servername') + 1] ?? '';
    const verified = [...trust, name.length === 0 ? host : 'localhost'];
    const command = ['s_client', '-connect', `127.0.0.1:${port}`, ...verified, ...name, ...args];
    const child = execFile('openssl', command);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: string) => (output += chunk));
    child.stdin?.end();
    await new Promise((resolve) => child.once('close', resolve));
    return output;
  }

  const rows: readonly [string, readonly string[], RegExp][] = [
    ['TLS 1.3, ECDSA', ['-tls1_3'], /Peer signature type: ECDSA/],
    ['TLS 1.3, RSA-PSS', ['-tls1_3', '-sigalgs', 'rsa_pss_rsae_sha256'], /Peer signature type: RSA-PSS/],
    ['TLS 1.2, ECDSA', ['-tls1_2', '-sigalgs', 'ECDSA+SHA256'], /Peer signature type: ECDSA/],
    ['TLS 1.2, RSA-PSS', ['-tls1_2', '-sigalgs', 'RSA-PSS+SHA512'], /Peer signature type: RSA-PSS/],
    ['TLS 1.2, RSA PKCS #1 v1.5', ['-tls1_2', '-sigalgs', 'RSA+SHA256'], /Peer signature type: RSA\n/],
  ];
  it.each(rows)('%s', async (_what, args, signature) => {
    await using listener = await serve();
    const report = await sClient(listener.port, ...args);
    expect(report).toMatch(/Verify return code: 0 \(ok\)/);
    expect(report).toMatch(signature);
    expect(report).toMatch(/Secure Renegotiation IS (NOT )?supported/);
    expect(report).toContain('Compression: NONE');
    expect(report).toMatch(/no peer certificate requested|No client certificate CA names sent/);
  });

  it('another certificate for another server name', async () => {
    await using listener = await serve();
    const report = await sClient(listener.port, '-servername', 'other.example');
    expect(report).toContain('Verify return code: 0 (ok)');
    expect(report).toMatch(/subject=CN = other\.example/);
  });

  it('http/1.1 through ALPN', async () => {
    await using listener = await serve();
    expect(await sClient(listener.port, '-alpn', 'h2,http/1.1')).toContain('ALPN protocol: http/1.1');
  });

  it.each([
    ['TLS 1.1', ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0']],
    ['a CBC cipher', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA']],
    ['key exchange without forward secrecy', ['-tls1_2', '-cipher', 'AES128-GCM-SHA256']],
  ])('no handshake with %s', async (_what, args) => {
    await using listener = await serve();
    expect(await sClient(listener.port, ...args)).toMatch(/alert|no cipher match|no protocols available/);
    expect(listener.failures.every(({ code }) => code === 'ERR_TLS_OFFLOAD_HANDSHAKE_FAILED')).toBe(true);
  });

  it('no renegotiation, and key updates as often as wanted', async () => {
    await using listener = await serve();
    const talk = async (version: string, lines: readonly string[]): Promise<string> => {
      const trust = ['-CAfile', ca.rootFile, '-servername', 'localhost'];
      const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${listener.port}`, version, ...trust]);
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const closed = new Promise((resolve) => child.once('close', resolve));
      for (const line of lines) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        child.stdin.write(`${line}\n`);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
      child.kill();
      await closed;
      return output;
    };
    const updated = await talk('-tls1_3', ['before', 'K', 'between', 'k', 'after']);
    expect(updated).toMatch(/KEYUPDATE[^]*between[^]*KEYUPDATE[^]*after/);
    expect(await talk('-tls1_2', ['before', 'R'])).toMatch(/RENEGOTIATING[^]*no renegotiation/);
  });

  it('handshakes that survive the death of the token agent', async () => {
    await using listener = await serve();
    const [agent] = (await run('pgrep', ['-P', String(process.pid), '-f', 'agent/child/main.js'])).stdout.split('\n');
    process.kill(Number(agent), 'SIGKILL');
    const reports = await Promise.all(Array.from({ length: 5 }, () => sClient(listener.port, '-tls1_3')));
    for (const report of reports) expect(report).toContain('Verify return code: 0 (ok)');
  });

  const algorithms: readonly AsymmetricKeyAlgorithm[] = ['ec-p384', 'ec-p521', 'rsa-3072', 'ed25519'];
  it.each(algorithms)('a key of kind %s', async (algorithm) => {
    const key = await hsm.generateKeyPair({ label: algorithm, algorithm });
    const file = join(directory, `${algorithm}.pem`);
    const credential = await credentialFor(key);
    writeFileSync(file, credential.chain[0].toString());
    await using listener = await listen(new TlsTerminator({ credentials: [credential] }), (socket) => socket.end());
    for (const version of ['-tls1_3', '-tls1_2']) {
      expect(await sClient(listener.port, version)).toContain('Verify return code: 0 (ok)');
    }
  });
});
