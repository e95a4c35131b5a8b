// Serves each client so many bytes with the built library: `node serve-once.mjs '{ "certificate": PEM, "privateKey": PEM,
// "bodyBytes": N }'`, and says its port to who made it. The key is Ed25519, which Node can sign with as a token would.
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { createServer } from 'node:net';
import { Credential } from '../dist/credential.js';
import { TlsTerminator } from '../dist/terminator.js';

const { certificate, privateKey: keyPem, bodyBytes } = JSON.parse(process.argv[2]);
const privateKey = createPrivateKey(keyPem);
const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
const key = { id: 'once', label: 'once', algorithm: 'ed25519', usage: 'sign', spki };
const signer = { sign: (_key, _scheme, data) => Promise.resolve(sign(null, data, privateKey)) };
const terminator = new TlsTerminator({
  credentials: [Credential.fromPem(certificate, key, signer)],
  alpnProtocols: [],
});
const server = createServer({ allowHalfOpen: true }, (socket) => {
  terminator.accept(socket).then(
    (secure) => secure.end(Buffer.alloc(bodyBytes)),
    () => undefined,
  );
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
