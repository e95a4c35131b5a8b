/** Connections to servers that are not ours, by a client whose keys are on a token: openssl s_server in all that it may be. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Hsm } from '@nest-hsm/hsm';
import { Credential, TlsConnector, type TlsOffloadError } from '@nest-hsm/tls-offload';
import { makeCertificateRequest } from '../../libs/tls-offload/src/credential-source/certificate-request.js';
import { ClientPki } from '../../libs/tls-offload/test/client-pki.js';
import { readAll } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { eventually } from '../support/eventually.js';
import { TestToken } from '../support/token.js';

const token = new TestToken('tls');
const clients = new OpensslCa();
const servers = new ClientPki();
const localhost = servers.client({ extensions: 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost\n' });
const credentials: Record<string, Credential> = {};
let hsm: Hsm;

beforeAll(async () => {
  clients.behaviour = { extensions: 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n' };
  hsm = await Hsm.open(token.config());
  for (const algorithm of ['ec-p256', 'rsa-2048'] as const) {
    const key = await hsm.generateKeyPair({ label: algorithm, algorithm });
    const request = await makeCertificateRequest(hsm, key, { dnsNames: [`${algorithm}.example`], ipAddresses: [] });
    credentials[algorithm] = Credential.fromPem(clients.issue(request), key, hsm);
  }
});
afterAll(async () => {
  await hsm.close();
  token.remove();
  clients.remove();
  servers.remove();
});

/** `openssl s_server`, which sends each line back in reverse, and says what it has found of its client. */
class OpensslServer implements AsyncDisposable {
  output = '';
  readonly #child: ChildProcess;

  private constructor(options: readonly string[]) {
    const key = localhost.file.replace(/pem$/, 'key');
    const own = ['-accept', '127.0.0.1:0', '-cert', localhost.file, '-key', key, '-rev'];
    this.#child = spawn('openssl', ['s_server', ...own, ...options]);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
  }

  static async start(...options: string[]): Promise<OpensslServer> {
    const server = new OpensslServer(options);
    await eventually(
      () => server.port > 0,
      () => server.output,
    );
    return server;
  }

  get port(): number {
    return Number(/^ACCEPT 127\.0\.0\.1:(\d+)/m.exec(this.output)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

const verifying = ['-Verify', '3', '-verify_return_error'];

function connectorFor(...of: string[]): AsyncDisposable & { connector: TlsConnector } {
  const connector = new TlsConnector({ caFile: servers.rootFile, credentials: of.map((each) => credentials[each]) });
  return { connector, [Symbol.asyncDispose]: () => connector.close() };
}

/** What the server answers to one line, or the code of why it does not. */
async function say(connector: TlsConnector, port: number, serverName = 'localhost'): Promise<string> {
  try {
    const socket = await connector.connect({ host: '127.0.0.1', port, serverName });
    socket.write('olleh\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    const ended = readAll(socket).catch(() => undefined);
    socket.end();
    await ended;
    return answer.toString().trim();
  } catch (error) {
    return (error as TlsOffloadError).code;
  }
}

describe.each([
  ['TLSv1.2', '-tls1_2'],
  ['TLSv1.3', '-tls1_3'],
])('openssl s_server with %s', (version, option) => {
  it('verifies a client whose key is on the token, EC and RSA, and anew each time', async () => {
    await using server = await OpensslServer.start(option, '-CAfile', clients.rootFile, ...verifying);
    for (const [algorithm, signature] of [
      ['ec-p256', /^Signature type: ECDSA$/m],
      ['rsa-2048', /^Signature type: RSA(-PSS)?$/m],
    ] as const) {
      server.output = server.output.replace(/^(?!ACCEPT).*\n/gm, '');
      await using own = connectorFor(algorithm);
      expect([await say(own.connector, server.port), await say(own.connector, server.port)]).toEqual([
        'hello',
        'hello',
      ]);
      const { completed, signatures } = own.connector.statistics;
      // No session is resumed: what one identity has shown is never taken for another's.
      expect([completed, signatures[algorithm].signed]).toEqual([{ [version]: 2 }, 2]);
      await eventually(
        () => server.output.match(/^Verification: OK$/gm)?.length === 2,
        () => server.output,
      );
      expect(server.output).toMatch(new RegExp(`^Peer certificate: CN ?= ?${algorithm}\\.example$`, 'm'));
      expect(server.output).toMatch(signature);
    }
  });

  it('takes the one of two whose signatures it wants', async () => {
    const sigalgs = ['-client_sigalgs', 'RSA-PSS+SHA256', '-CAfile', clients.rootFile, ...verifying];
    await using server = await OpensslServer.start(option, ...sigalgs);
    await using own = connectorFor('ec-p256', 'rsa-2048');
    expect(await say(own.connector, server.port)).toBe('hello');
    expect(own.connector.statistics.signatures).toMatchObject({ 'rsa-2048': { signed: 1 }, 'ec-p256': { signed: 0 } });
  });

  it('that asks for no certificate is shown none', async () => {
    await using server = await OpensslServer.start(option);
    await using own = connectorFor('ec-p256');
    expect(await say(own.connector, server.port)).toBe('hello');
    expect(own.connector.statistics.signatures['ec-p256'].signed).toBe(0);
    expect(server.output).not.toContain('Peer certificate:');
  });

  it('and no certificate of ours refuses, as does one with another authority', async () => {
    await using server = await OpensslServer.start(option, '-CAfile', servers.rootFile, ...verifying);
    const refused = 'ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED';
    // Before TLS 1.3 no alert says that a certificate is missing (RFC 5246 §7.4.6).
    const missing = version === 'TLSv1.3' ? refused : 'ERR_TLS_OFFLOAD_HANDSHAKE_FAILED';
    await using own = connectorFor('ec-p256');
    await using bare = connectorFor();
    expect([await say(own.connector, server.port), await say(bare.connector, server.port)]).toEqual([refused, missing]);
  });

  it('of another name, or of another authority, is refused before anything is signed', async () => {
    await using server = await OpensslServer.start(option, '-CAfile', clients.rootFile, ...verifying);
    await using own = connectorFor('ec-p256');
    expect(await say(own.connector, server.port, 'other.example')).toBe('ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH');
    const connector = new TlsConnector({ caFile: clients.rootFile, credentials: [credentials['ec-p256']] });
    expect(await say(connector, server.port)).toBe('ERR_TLS_OFFLOAD_SERVER_UNTRUSTED');
    for (const each of [own.connector, connector]) expect(each.statistics.signatures['ec-p256'].signed).toBe(0);
    await connector.close();
  });
});
