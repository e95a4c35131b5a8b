import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm } from '@nest-hsm/hsm';
import { Credential, TlsTerminator } from '@nest-hsm/tls-offload';
import { serve } from './server-process.js';
import type { Residue, TerminatorTask } from './task.js';

/** Ours: the handshake waits for `Hsm` while the event loop serves the others. What a client sends comes back. */
serve<TerminatorTask>(async ({ config, keyLabel, certificateFile }) => {
  const hsm = await Hsm.open(config);
  const key = await hsm.findKey({ label: keyLabel });
  const credential = Credential.fromPem(readFileSync(certificateFile, 'utf8'), key, hsm);
  const terminator = new TlsTerminator({ credentials: [credential] });
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    terminator.accept(socket).then(
      (secure) => secure.on('data', (chunk) => secure.write(chunk)),
      // The load generator's last clients leave in the middle of their handshakes.
      () => undefined,
    );
  });
  await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.close();
      await terminator.close(0);
      await hsm.close();
    },
    answers: {
      residue: async () => {
        while (terminator.statistics.handshaking + terminator.statistics.open > 0) await pause(10);
        for (let time = 0; time < 3; time++) globalThis.gc?.();
        return counters();
      },
    },
  };
});

/** The addon's own count, which is nobody's to know but tests': hence no door of the package leads there. */
async function counters(): Promise<Residue> {
  const addon = new URL('addon.js', import.meta.resolve('@nest-hsm/tls-offload'));
  const { loadAddon } = (await import(addon.href)) as { loadAddon: () => { counters: () => Residue } };
  return loadAddon().counters();
}
