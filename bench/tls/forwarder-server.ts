import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { HsmKey } from '@nest-hsm/hsm';
import { Credential, L4Proxy, TlsTerminator } from '@nest-hsm/tls-offload';
import type { ForwarderTask } from './forwarding-task.js';
import { serve } from './server-process.js';

/** Ours: the L4 proxy, with an Ed25519 key that this process holds itself: no signature is measured. */
serve<ForwarderTask>(async ({ certificateFile, keyFile, upstreamPort }) => {
  const privateKey = createPrivateKey(readFileSync(keyFile));
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const id = randomBytes(16).toString('hex');
  const key = { id, label: 'bench', algorithm: 'ed25519', usage: 'sign', spki, publicKey } as unknown as HsmKey;
  const signer = {
    sign: (_key: HsmKey, _scheme: string, message: Uint8Array) => Promise.resolve(sign(null, message, privateKey)),
  };
  const terminator = new TlsTerminator({
    credentials: [Credential.fromPem(readFileSync(certificateFile, 'utf8'), key, signer)],
    minimumVersion: 'TLSv1.3',
  });
  const upstream = { host: '127.0.0.1', port: upstreamPort };
  const proxy = new L4Proxy(terminator, { upstream, connectionLimit: 65_536 });
  return { port: (await proxy.listen(0, '127.0.0.1')).port, stop: () => proxy.close(0) };
});
