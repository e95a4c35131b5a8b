import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import { TlsTerminator } from '../terminator.js';

/** One handshake as a server. @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID, or why the key did not sign */
export async function proveAsServer(credential: Credential): Promise<void> {
  const terminator = new TlsTerminator({ credentials: [credential], alpnProtocols: [] });
  let fault: TlsOffloadError | undefined;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    terminator.accept(socket).catch((error: TlsOffloadError) => {
      if (error.fault === 'token') fault = error;
    });
  });
  let client: TLSSocket | undefined;
  try {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    client = connectTo((server.address() as AddressInfo).port, credential);
    await secured(client, credential);
  } catch (error) {
    // The client saw an alert of it and nothing more.
    throw fault ?? error;
  } finally {
    client?.destroy();
    server.close();
    await terminator.close(0);
  }
}

function connectTo(port: number, { chain }: Credential): TLSSocket {
  return connect({
    host: '127.0.0.1',
    port,
    ca: chain[chain.length - 1].toString(),
    // The chain may end below the root.
    allowPartialTrustChain: true,
    // Names were checked where they are known; here nobody names any.
    checkServerIdentity: () => undefined,
  });
}

async function secured(client: TLSSocket, credential: Credential): Promise<void> {
  try {
    await once(client, 'secureConnect');
  } catch (cause) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      `certificate for key ${credential.key.label}: want a client to take it, got ${(cause as Error).message}`,
      { cause },
    );
  }
  if (client.getPeerX509Certificate()?.raw.equals(credential.chain[0].raw) !== true) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      `certificate for key ${credential.key.label}: want it in its own handshake, got another`,
    );
  }
}
