import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { connect } from 'node:tls';
import { ClientPki } from '../test/client-pki.js';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { eventually, listen, type Listener, readAll } from '../test/listen.js';
import { thrownBy } from '../test/thrown-by.js';
import { loadAddon } from './addon.js';
import { ClientPolicies } from './client-auth.js';
import { parseConfig, terminatorConfigSchema } from './config.js';
import type { Credential } from './credential.js';
import type { TlsOffloadError } from './errors.js';
import { performHandshake } from './handshake.js';
import { KeySigners } from './handshake-signer.js';
import { makeOffer } from './offer.js';
import type { Staples } from './stapling.js';
import { TlsTerminator, type TerminatorOptions } from './terminator.js';

const pki = new ClientPki();
const strangers = new ClientPki();
let answer: (request: Buffer) => Buffer | number = (request) => respond(request);
let asked = 0;
const responder = createServer((request, response) => {
  void readAll(request).then((body) => {
    asked++;
    const content = answer(body);
    if (typeof content === 'number') response.writeHead(content).end();
    else response.writeHead(200, { 'content-type': 'application/ocsp-response' }).end(content);
  });
});
beforeAll(() => new Promise<void>((resolve) => responder.listen(0, '127.0.0.1', resolve)));
afterAll(async () => {
  responder.closeAllConnections();
  await new Promise((resolve) => responder.close(resolve));
  pki.remove();
  strangers.remove();
});
beforeEach(() => {
  answer = (request) => respond(request);
  asked = 0;
});

/** openssl's own responder, on the authority's database. */
function respond(request: Buffer, authority = pki, ...options: string[]): Buffer {
  const [input, output] = [authority.file('request.der'), authority.file('response.der')];
  writeFileSync(input, request);
  const signer = ['-rsigner', authority.rootFile, '-rkey', authority.file('root.key'), '-CA', authority.rootFile];
  const life = options.length > 0 ? options : ['-ndays', '1'];
  execFileSync('openssl', ['ocsp', '-index', authority.file('root.index'), ...signer, '-reqin', input, '-respout', output, ...life], { stdio: 'pipe' }); // prettier-ignore
  return readFileSync(output);
}

/** A server's certificate that names the responder. */
function issue(extensions = ''): Credential & { file: string } {
  const { port } = responder.address() as AddressInfo;
  const access = `authorityInfoAccess=OCSP;URI:http://127.0.0.1:${port}/ocsp\n`;
  const { cert, key, file } = pki.client({ subject: '/CN=localhost', extensions: `subjectAltName=DNS:localhost\n${access}${extensions}` }); // prettier-ignore
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey);
  const base = makeIdentity('ec-p256');
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const identity = { ...base, privateKey, key: { ...base.key, publicKey, spki }, certificatePem: cert + pki.root };
  return Object.assign(credentialOf(identity), { file });
}

async function serve(credential: Credential, options: Partial<TerminatorOptions> = {}) {
  const failures: TlsOffloadError[] = [];
  const observer = { upkeepFailed: (error: TlsOffloadError) => failures.push(error) };
  const terminator = new TlsTerminator({ credentials: [credential], ocspStapling: true, observer, ...options });
  const listener = await listen(terminator, (socket) => socket.end());
  return { terminator, listener, failures };
}

/** The staple that a client gets. */
function stapleOf({ port }: Listener, options: object = {}): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    let staple: Buffer | undefined;
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: pki.root, requestOCSP: true, ...options }); // prettier-ignore
    socket.on('OCSPResponse', (response: Buffer | null) => (staple = response ?? undefined));
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve(staple);
    });
    socket.once('error', reject);
  });
}

describe('a staple', () => {
  it.each(['TLSv1.2', 'TLSv1.3'])('is fetched and sent along, in %s, to who asks for it', async (version) => {
    const { listener, terminator } = await serve(issue());
    await using _ = listener;
    await eventually(() => terminator.statistics.staples[0].nextUpdate !== undefined);
    const staple = await stapleOf(listener, { minVersion: version, maxVersion: version });
    writeFileSync(pki.file('staple.der'), staple ?? '');
    const text = execFileSync('openssl', ['ocsp', '-respin', pki.file('staple.der'), '-text', '-CAfile', pki.rootFile], { encoding: 'utf8', stdio: 'pipe' }); // prettier-ignore
    expect(text).toMatch(/Cert Status: good/);
    expect(await stapleOf(listener, { requestOCSP: false })).toBeUndefined();
    expect(asked).toBe(1);
    expect(terminator.statistics.staples).toMatchObject([{ failures: 0, isRevoked: false, isMissing: false }]);
  });

  const useless: readonly [string, () => void, RegExp][] = [
    ['an error', () => (answer = () => 503), /got 503/],
    ['garbage', () => (answer = () => Buffer.from('no')), /want an OCSP response/],
    ['no end', () => (answer = () => Buffer.alloc(100_000)), /want at most 65536 bytes/],
    ['one that never ends', () => (answer = (request) => respond(request, pki, '-resp_no_certs')), /want one with nextUpdate/],
    ["another authority's", () => (answer = (request) => respond(request, strangers)), /want one signed for/],
    ['one about others', () => (answer = () => respond(requestFor(issue()))), /about this certificate/],
  ]; // prettier-ignore
  it.each(useless)('is none where the responder gives %s', async (_what, spoil, message) => {
    spoil();
    const { listener, failures, terminator } = await serve(issue());
    await using _ = listener;
    await eventually(() => failures.length === 1);
    expect(failures[0]).toMatchObject({ code: 'ERR_TLS_OFFLOAD_STAPLE' });
    expect(failures[0].message).toMatch(message);
    expect(await stapleOf(listener)).toBeUndefined();
    expect(terminator.statistics.staples[0]).toMatchObject({ failures: 1, isMissing: false });
  });

  it('is withdrawn when the responder says revoked, and that is reported', async () => {
    const credential = issue();
    const { listener, terminator } = await serve(credential);
    await using _ = listener;
    await eventually(() => terminator.statistics.staples[0].nextUpdate !== undefined);
    pki.revoke(credential);
    const refused = thrownBy(() => terminator.acceptStaple(credential, respond(requestFor(credential))));
    expect(refused).toMatchObject({ code: 'ERR_TLS_OFFLOAD_STAPLE', message: expect.stringContaining('got revoked') });
    expect(terminator.statistics.staples[0]).toMatchObject({ isRevoked: true });
    expect(await stapleOf(listener)).toBeUndefined();
  });

  it('is not one from before the last answer, which a replay would bring back', async () => {
    const credential = issue();
    const { listener, terminator } = await serve(credential, { ocspStapling: false });
    await using _ = listener;
    const early = respond(requestFor(credential));
    // thisUpdate is in seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const late = respond(requestFor(credential));
    terminator.acceptStaple(credential, late);
    const older = expect.objectContaining({ message: expect.stringContaining('got an older one') }) as Error;
    expect(thrownBy(() => terminator.acceptStaple(credential, early))).toEqual(older);
    expect(await stapleOf(listener)).toEqual(late);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    pki.revoke(credential);
    const revoked = respond(requestFor(credential));
    expect(thrownBy(() => terminator.acceptStaple(credential, revoked))).toMatchObject({
      code: 'ERR_TLS_OFFLOAD_STAPLE',
    });
    expect(thrownBy(() => terminator.acceptStaple(credential, late))).toEqual(older);
    expect(terminator.statistics.staples[0].isRevoked).toBe(true);
    expect(await stapleOf(listener)).toBeUndefined();
  });

  it('may be handed in, and one that is not to be served leaves that in force', async () => {
    const credential = issue();
    const { listener, terminator } = await serve(credential, { ocspStapling: false });
    await using _ = listener;
    expect(await stapleOf(listener)).toBeUndefined();
    const response = respond(requestFor(credential));
    terminator.acceptStaple(credential, response);
    expect(thrownBy(() => terminator.acceptStaple(credential, Buffer.from('x')))).toMatchObject({ code: 'ERR_TLS_OFFLOAD_STAPLE' }); // prettier-ignore
    expect(await stapleOf(listener)).toEqual(response);
    expect(asked).toBe(0);
  });

  it('is not served beyond its end, whatever becomes of its renewal', async () => {
    const credential = issue();
    const response = respond(requestFor(credential));
    const { Session, Staple } = loadAddon();
    const native = new Staple();
    const config = parseConfig(terminatorConfigSchema, 'test', {});
    const policies = new ClientPolicies(config, () => undefined);
    const staples = { of: () => ({ native }) } as unknown as Staples;
    const { context, signers } = makeOffer({ credentials: [credential] }, config, new KeySigners(1), policies, staples, undefined); // prettier-ignore
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      // The client leaves as soon as it has its answer.
      const left = (): unknown => socket.destroy();
      performHandshake(socket, new Session(context), signers, 5_000).then(left, left);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const now = Math.floor(Date.now() / 1000);
    native.set(response, now + 60);
    expect(await stapleOf({ port } as Listener)).toEqual(response);
    native.set(response, now);
    expect(await stapleOf({ port } as Listener)).toBeUndefined();
    await new Promise((resolve) => server.close(resolve));
  });

  it('that a certificate promises is missed aloud', async () => {
    answer = () => 503;
    const { listener, failures, terminator } = await serve(issue('tlsfeature=status_request\n'));
    await using _ = listener;
    await eventually(() => failures.length === 1);
    expect(failures[0].message).toMatch(/must-staple/);
    expect(terminator.statistics.staples[0].isMissing).toBe(true);
  });

  it('goes with its certificate', async () => {
    const credential = issue();
    const { listener, terminator } = await serve(credential);
    await using _ = listener;
    await eventually(() => terminator.statistics.staples[0].nextUpdate !== undefined);
    terminator.setCredentials({ credentials: [credential] });
    expect(await stapleOf(listener)).toBeDefined();
    expect(asked).toBe(1);
    const next = issue();
    terminator.setCredentials({ credentials: [next] });
    await eventually(() => terminator.statistics.staples[0].nextUpdate !== undefined);
    expect(terminator.statistics.staples).toHaveLength(1);
    expect(asked).toBe(2);
  });
});

function requestFor({ chain: [leaf, issuer] }: Credential): Buffer {
  return loadAddon().ocspRequest(leaf.raw, issuer.raw);
}
