import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { connect, createServer, type SecureVersion } from 'node:tls';
import {
  type ClientContext,
  type HandshakeProgress,
  handshakeProgress,
  loadAddon,
  type Negotiation,
  type ServerContext,
  type Session,
} from '../../libs/tls-offload/src/addon.js';
import { TlsOffloadError } from '../../libs/tls-offload/src/errors.js';
import { makeProxyHeader, parseProxyHeader } from '../../libs/tls-offload/src/proxy/proxy-protocol.js';
import { makeIdentity } from '../../libs/tls-offload/test/identity.js';
import { signInSoftware } from '../../libs/tls-offload/test/software-key.js';
import type { FuzzTarget } from './ca-targets.js';

const { key, certificatePem, privateKey } = makeIdentity('ec-p256');
const privateKeyPem = privateKey.export({ format: 'pem', type: 'pkcs8' });
const leaf = Buffer.from(certificatePem.replaceAll(/-----.*-----|\s/g, ''), 'base64');

const negotiation: Negotiation = {
  tls13Only: false,
  ciphersTls12: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  ciphersTls13: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384',
  groups: 'X25519MLKEM768:X25519:P-256',
  signatureAlgorithms: 'ecdsa_secp256r1_sha256',
};
const certificates = [{ chain: [leaf], keyIndex: 0 }];

let serverContext: ServerContext | undefined;
function newServer(): Session {
  serverContext ??= new (loadAddon().ServerContext)({
    ...negotiation,
    credentials: [{ serverNames: [], certificates }],
    alpnProtocols: ['h2', 'http/1.1'],
    refuseUnknownNames: false,
  });
  return new (loadAddon().Session)(serverContext);
}

let clientContext: ClientContext | undefined;
function newClient(): Session {
  if (clientContext === undefined) {
    const limits = { maximumIntermediates: 4, maximumChainBytes: 32_768 };
    const settings = { peer: 'server', required: true, checkCrls: false, ...limits, rules: [] } as const;
    const serverAuth = new (loadAddon().PeerAuth)(settings);
    serverAuth.update({ authorities: [leaf], crls: [] });
    clientContext = new (loadAddon().ClientContext)({ ...negotiation, certificates, serverAuth });
  }
  const server = { name: 'localhost', isAddress: false, alpnProtocols: ['h2', 'http/1.1'] };
  return new (loadAddon().Session)(clientContext, server);
}

/** Goes on with what the peer sent, signing where a signature is wanted. */
function drive(session: Session, input?: Buffer): HandshakeProgress {
  let progress = session.handshake(input);
  while (progress === handshakeProgress.wantSignature) {
    const [wanted, data] = [session.signatureWanted(), session.signatureInput()];
    if (wanted === undefined || data === undefined) throw new Error('want a signature request, got none');
    session.deliver(signInSoftware(privateKey, wanted.scheme, data));
    progress = session.handshake();
  }
  return progress;
}

/** What carries the flights of the other end to a session, and its answers back. */
function wireTo(session: Session): { flights: Buffer[]; wire: Duplex } {
  const flights: Buffer[] = [];
  const wire: Duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      flights.push(chunk);
      drive(session, chunk);
      const output = session.takeOutput();
      if (output !== undefined) wire.push(output);
      done();
    },
  });
  return { flights, wire };
}

/** The flights of Node's own client in one handshake with us: ClientHello, and what follows our answer. */
async function flightsOf(version: SecureVersion): Promise<Buffer[]> {
  const session = newServer();
  const { flights, wire } = wireTo(session);
  const versions = { minVersion: version, maxVersion: version };
  const client = connect({
    socket: wire,
    ca: certificatePem,
    servername: 'localhost',
    ALPNProtocols: ['h2'],
    ...versions,
  });
  await new Promise((resolve, reject) => {
    client.once('secureConnect', resolve);
    client.once('error', reject);
  });
  await new Promise((resolve) => setImmediate(resolve));
  session.close();
  client.destroy();
  return flights;
}

/** The flights of Node's own server, which asks for a certificate, in one handshake with us. */
async function flightsOfServer(version: SecureVersion): Promise<Buffer[]> {
  const session = newClient();
  const { flights, wire } = wireTo(session);
  const versions = { minVersion: version, maxVersion: version };
  const asking = { requestCert: true, ca: certificatePem, ALPNProtocols: ['h2'] };
  const server = createServer({ key: privateKeyPem, cert: certificatePem, ...asking, ...versions });
  const secure = once(server, 'secureConnection');
  server.emit('connection', wire);
  session.handshake();
  wire.push(session.takeOutput());
  const [socket] = (await secure) as [Duplex];
  await new Promise((resolve) => setImmediate(resolve));
  session.close();
  socket.destroy();
  return flights;
}

/** Both ends of a handshake in memory, to its end. */
function shakeHands(client: Session, server: Session): void {
  let progress = client.handshake();
  while (progress !== handshakeProgress.secure) {
    drive(server, client.takeOutput());
    progress = drive(client, server.takeOutput());
    if (progress === handshakeProgress.failed) throw new Error(`want a handshake, got ${client.failure()}`);
  }
}

/** Sessions that are closed leave nothing behind, whatever they were fed. */
function judgeSession(feed: (session: Session) => void, session = newServer(), ...others: Session[]): void {
  try {
    feed(session);
    session.takeOutput();
  } finally {
    for (const each of [session, ...others]) each.close();
  }
  const { liveSessions, pausedJobs } = loadAddon().counters();
  if (liveSessions !== 0 || pausedJobs !== 0)
    throw new Error(`want no session left, got ${liveSessions}, ${pausedJobs}`);
}

export async function makeTlsTargets(): Promise<FuzzTarget[]> {
  const flights12 = await flightsOf('TLSv1.2');
  const flights13 = await flightsOf('TLSv1.3');
  const [answer12, answer13] = [await flightsOfServer('TLSv1.2'), await flightsOfServer('TLSv1.3')];
  const endpoints = {
    v4: { sourceAddress: '192.0.2.1', sourcePort: 1, destinationAddress: '198.51.100.1', destinationPort: 443 },
    v6: { sourceAddress: '2001:db8::1', sourcePort: 1, destinationAddress: '2001:db8::2', destinationPort: 443 },
  };
  const description = {
    ...{ protocol: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', cipherStandardName: '', cipherVersion: '', group: '' },
    ...{ alpnProtocol: 'h2', serverName: key.label, resumed: false, peerCertificates: [] },
  };
  const headers = Object.values(endpoints).flatMap((each) =>
    (['v1', 'v2'] as const).map((version) => makeProxyHeader(version, each, description)),
  );
  return [
    {
      name: 'a PROXY header',
      seeds: headers,
      judge: (input) => {
        try {
          const header = parseProxyHeader(input);
          if (header === undefined && input.length > 4_112) throw new Error('want a decision, got none');
          if (header !== undefined && header.bytes > input.length) throw new Error('want a header of what is there');
        } catch (error) {
          if (!(error instanceof TlsOffloadError)) throw error;
        }
      },
    },
    {
      name: 'the first flight of a handshake',
      seeds: [flights12[0], flights13[0]],
      judge: (input) => judgeSession((session) => drive(session, input)),
    },
    {
      name: 'the second flight of a handshake',
      seeds: [...flights12.slice(1), ...flights13.slice(1)],
      judge: (input) => {
        for (const [hello] of [flights12, flights13]) {
          judgeSession((session) => {
            drive(session, hello);
            drive(session, input);
            session.read(input, Buffer.alloc(65_536));
          });
        }
      },
    },
    {
      name: "a server's answer to our first flight",
      seeds: [answer12[0], answer13[0]],
      judge: (input) => {
        judgeSession((client) => {
          client.handshake();
          drive(client, input);
          drive(client, input);
        }, newClient());
      },
    },
    {
      name: 'what a server says once it is believed',
      seeds: [...answer12.slice(1), ...answer13.slice(1)],
      judge: (input) => {
        const server = newServer();
        const feed = (client: Session): void => {
          shakeHands(client, server);
          client.takeOutput();
          client.read(input, Buffer.alloc(65_536));
          client.write(input);
        };
        judgeSession(feed, newClient(), server);
      },
    },
  ];
}
