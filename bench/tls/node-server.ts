import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { serve } from './server-process.js';
import type { NodeTask } from './task.js';

/** The peer: Node's own tls, which signs inside the event loop. What a client sends comes back. */
serve<NodeTask>(async ({ certificateFile, key }) => {
  const server = createServer(
    {
      cert: readFileSync(certificateFile),
      ...('file' in key
        ? { key: readFileSync(key.file) }
        : { privateKeyEngine: key.engine, privateKeyIdentifier: key.uri }),
      noDelay: true,
    },
    (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    },
  );
  server.on('tlsClientError', () => undefined);
  await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }), 'listening');
  return { port: (server.address() as AddressInfo).port, stop: () => void server.close() };
});
