import type { AddressInfo, Server } from 'node:net';

/** Has a proxy's server listen. @throws the system's error, e.g. EADDRINUSE */
export async function listen(server: Server, port: number, host: string): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      // One that cannot be accepted now (EMFILE) waits in the kernel's queue, and is no reason to end all others.
      server.on('error', () => undefined);
      server.off('error', reject);
      resolve();
    });
  });
  return server.address() as AddressInfo;
}
