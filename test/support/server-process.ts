import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** A TCP port of 127.0.0.1 on which nobody listens: for servers that do not say which they took, and for nobody. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until a server says on standard error that it serves. @throws with what it said, when it ends before */
export async function untilSaid(server: ChildProcess, ready: string, name: string): Promise<void> {
  let log = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes(ready)) resolve();
    });
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`${name}: want it to start, got exit ${code}\n${log}`)));
  });
}
