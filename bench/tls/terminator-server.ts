import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { Hsm } from '@nest-hsm/hsm';
import { Credential, TlsTerminator } from '@nest-hsm/tls-offload';
import { serve } from './server-process.js';
import type { ServerTask } from './task.js';

/** Ours: the handshake waits for `Hsm` while the event loop serves the others. */
serve<ServerTask>(async ({ config, keyLabel, certificateFile }) => {
  const hsm = await Hsm.open(config);
  const key = await hsm.findKey({ label: keyLabel });
  const credential = Credential.fromPem(readFileSync(certificateFile, 'utf8'), key, hsm);
  const terminator = new TlsTerminator({ credentials: [credential] });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    terminator.accept(socket).then(
      (secure) => secure.resume(),
      // The load generator's last clients leave in the middle of their handshakes.
      () => undefined,
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.close();
      await terminator.close(0);
      await hsm.close();
    },
  };
});
