// Has the built library serve, forward and ask over TLS in one process, and answers with what everybody got:
// `node https-driver.mjs '{ "certificate": PEM, "privateKey": PEM, "caFile": PATH }'`. The clients are Node.js' own; the embedded
// server wants a certificate, which the proxy shows it, and the agent.
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { connect as connectTls } from 'node:tls';
import { createTlsOffloadServer, Credential, HttpsAgent, L7Proxy, TlsConnector, TlsTerminator } from '../dist/index.js';

const { certificate, privateKey: keyPem, caFile } = JSON.parse(process.argv[2]);
const privateKey = createPrivateKey(keyPem);
const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
const key = { id: 'driver', label: 'driver', algorithm: 'ed25519', usage: 'sign', spki };
const credentials = [
  Credential.fromPem(certificate, key, { sign: async (_key, _scheme, data) => sign(null, data, privateKey) }),
];

const inner = new TlsTerminator({ credentials, clientCertificates: { mode: 'required', caFile } });
const embedded = createTlsOffloadServer(inner, async (incoming, response) => {
  let body = '';
  for await (const chunk of incoming) body += chunk;
  const { socket, trailers } = incoming;
  response.setHeader('trailer', 'x-end');
  response.write(
    JSON.stringify({ body, trailers, client: socket.getPeerCertificate().subject.CN, by: socket.authorized }),
  );
  response.addTrailers({ 'x-end': 'told' });
  response.end();
});
embedded.on('upgrade', (_incoming, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n');
  socket.pipe(socket);
});
await new Promise((resolve) => embedded.listen(0, '127.0.0.1', resolve));

const outer = new TlsTerminator({ credentials, alpnProtocols: ['h2', 'http/1.1'] });
const url = `https://127.0.0.1:${embedded.address().port}`;
const upstreamTls = { caFile, serverName: 'localhost' };
const proxy = new L7Proxy(outer, { upstreams: [{ url }], upstreamTls }, { upstreamCredentials: credentials });
const { port } = await proxy.listen(0, '127.0.0.1');

const connector = new TlsConnector({ caFile, credentials });
const agent = new HttpsAgent(connector);
const answers = {
  http1: await overHttp1({ port, ca: certificate, agent: false }),
  http2: await overHttp2(),
  websocket: await overWebSocket(),
  agent: await overHttp1({ port: embedded.address().port, agent }),
};
agent.destroy();
await proxy.close(0);
await connector.close(0);
embedded.close();
await inner.close(0);
console.log(JSON.stringify({ node: process.version, ...answers }));

async function overHttp1(options) {
  const asked = request({
    host: '127.0.0.1',
    servername: 'localhost',
    method: 'POST',
    headers: { host: 'localhost' },
    ...options,
  });
  asked.setHeader('trailer', 'x-sum');
  asked.write('over http/1.1');
  asked.addTrailers({ 'x-sum': '7' });
  asked.end();
  const [response] = await once(asked, 'response');
  return { ...(await jsonOf(response)), trailer: response.trailers['x-end'] };
}

async function overHttp2() {
  const session = connectHttp2(`https://localhost:${port}`, { ca: certificate });
  const stream = session.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7' }));
  let trailer;
  stream.once('trailers', (fields) => (trailer = fields['x-end']));
  stream.end('over h2');
  const answer = await jsonOf(stream);
  session.close();
  return { ...answer, trailer };
}

async function overWebSocket() {
  const client = connectTls({ port, ca: certificate, servername: 'localhost', ALPNProtocols: ['http/1.1'] });
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  let said = '';
  client.on('data', (chunk) => {
    said += chunk;
    if (said.endsWith('\r\n\r\n')) client.end('echoed');
  });
  await once(client, 'close');
  return said.split('\r\n\r\n');
}

async function jsonOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return JSON.parse(text);
}
