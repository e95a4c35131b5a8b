import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createSecureContext } from 'node:tls';
import type { IdleTask } from './forwarding-task.js';

const connectingAtOnce = 32;

/** Opens connections through which one byte goes, holds them, and says so; lives until it is killed. */
process.once('message', (task: IdleTask) => {
  void open(task).then(() => process.send?.({ opened: task.connections }));
});

async function open({ port, rootFile, connections }: IdleTask): Promise<void> {
  const secureContext = createSecureContext({ ca: readFileSync(rootFile) });
  let begun = 0;
  const opening = async (): Promise<void> => {
    while (begun < connections) {
      begun++;
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
      await once(socket, 'secureConnect');
      socket.write('idle\n');
    }
  };
  await Promise.all(Array.from({ length: connectingAtOnce }, opening));
}
