import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { serve } from './server-process.js';
import type { ServerTask } from './task.js';

/** The peer: Node's own tls with the private key behind OpenSSL's PKCS#11 engine, which signs inside the event loop. */
serve<ServerTask>(async ({ config, keyLabel, certificateFile, engine }) => {
  const { label } = config.token;
  const server = createServer(
    {
      cert: readFileSync(certificateFile),
      privateKeyEngine: engine,
      privateKeyIdentifier: `pkcs11:token=${label};object=${keyLabel};type=private?pin-source=file:${config.pin.file}`,
    },
    (socket) => {
      socket.on('error', () => undefined);
      socket.resume();
    },
  );
  server.on('tlsClientError', () => undefined);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as AddressInfo).port, stop: () => void server.close() };
});
