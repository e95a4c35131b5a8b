// @peculiar/x509 needs it before it loads.
import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { loadAddon } from '../addon.js';
import { parseConfig } from '../config.js';
import { makeClientOffer, newClientSession } from '../connector/client-offer.js';
import { connectorConfigSchema } from '../connector/connector-config.js';
import { connected, openTcp } from '../connector/tcp-connection.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import { performHandshake } from '../handshake.js';
import { KeySigners } from '../handshake-signer.js';

const host = '127.0.0.1';
const serverName = 'localhost';
const handshakeMilliseconds = 10_000;
/** The certificate of the server, which lives for one handshake. */
const lifeMilliseconds = 86_400_000;

/** One handshake as a client. @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID, or why the key did not sign */
export async function proveAsClient(credential: Credential): Promise<void> {
  const { cert, key, der } = await makeServerCertificate();
  const server = createServer({
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMilliseconds,
  });
  const ca = credential.chain[credential.chain.length - 1].toString();
  // The chain may end below the root, which Node.js lets a context have, and a server by itself not.
  server.addContext(serverName, createSecureContext({ cert, key, ca, allowPartialTrustChain: true }));
  let knowPort = (_port: number | undefined): void => undefined;
  const ourPort = new Promise<number | undefined>((resolve) => (knowPort = resolve));
  // Anybody on this machine may connect to it, and is not judged.
  const listener = createTcpServer((raw) => {
    raw.on('error', () => undefined);
    void ourPort.then((port) => (raw.remotePort === port ? server.emit('connection', raw) : raw.destroy()));
  });
  const judged = judgement(server);
  // Where the handshake fails at our end nobody asks.
  judged.catch(() => undefined);
  let socket: Socket | undefined;
  try {
    await once(listener.listen(0, host), 'listening');
    socket = openTcp({ host, port: (listener.address() as AddressInfo).port });
    socket.once('connect', () => knowPort(socket?.localPort));
    await showTo(der, socket, credential);
    const seen = await judged;
    if (!seen.authorized) throw new Error(String(seen.authorizationError));
    const shown = seen.getPeerX509Certificate();
    if (shown?.raw.equals(credential.chain[0].raw) !== true) throw new Error('another one, or none');
  } catch (cause) {
    if ((cause as TlsOffloadError).fault === 'token') throw cause;
    const message = `certificate for key ${credential.key.label}: want a server to take it, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CERTIFICATE_INVALID', message, { cause });
  } finally {
    knowPort(undefined);
    socket?.destroy();
    listener.close();
  }
}

/** Resolves with the connection that the server has judged, or rejects with why it has none: in TLS 1.3 only it knows. */
function judgement(server: Server): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    server.once('secureConnection', (socket) => {
      socket.on('error', () => undefined);
      resolve(socket);
    });
    server.once('tlsClientError', reject);
  });
}

async function showTo(server: Uint8Array, socket: Socket, credential: Credential): Promise<void> {
  const config = parseConfig(connectorConfigSchema, 'proof', {});
  const { maximumIntermediates, maximumChainBytes } = config;
  const limits = { maximumIntermediates, maximumChainBytes };
  const serverAuth = new (loadAddon().PeerAuth)({
    peer: 'server',
    required: true,
    checkCrls: false,
    ...limits,
    rules: [],
  });
  serverAuth.update({ authorities: [server], crls: [] });
  const offer = makeClientOffer([credential], config, serverAuth, new KeySigners(1));
  socket.on('error', () => undefined);
  await connected(socket, handshakeMilliseconds);
  const session = newClientSession(offer, serverName, []);
  await performHandshake(socket, session, offer.signers, handshakeMilliseconds, { role: 'client' });
  session.close();
}

async function makeServerCertificate(): Promise<{ cert: string; key: string; der: Uint8Array }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [serverName] }],
    notBefore: new Date(now - lifeMilliseconds),
    notAfter: new Date(now + lifeMilliseconds),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: serverName }])],
  });
  return {
    cert: certificate.toString('pem'),
    key: KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }) as string,
    der: new Uint8Array(certificate.rawData),
  };
}
