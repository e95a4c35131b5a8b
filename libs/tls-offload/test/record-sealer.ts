import { createCipheriv, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

/** A key update that asks for none, in the two parts that a client may send it in (RFC 8446 §4.6.3, §5.1). */
export const keyUpdate = [Buffer.of(24, 0, 0, 1), Buffer.of(0)] as const;
export const contentType = { alert: 21, handshake: 22, data: 23 } as const;

/** Makes the records of a client of TLS 1.3 one by one, with TLS_AES_128_GCM_SHA256 (RFC 8446 §5.2, §7.3). */
export class RecordSealer {
  #sequence = 0;

  /** @param secret  client_application_traffic_secret_0 */
  constructor(private secret: Buffer) {}

  seal(type: number, content: Uint8Array): Buffer {
    const nonce = this.#expand('iv', 12);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence++) >>> 0, 8);
    const inner = Buffer.concat([content, Buffer.of(type)]);
    const header = Buffer.from([23, 3, 3, 0, 0]);
    header.writeUInt16BE(inner.length + 16, 3);
    const cipher = createCipheriv('aes-128-gcm', this.#expand('key', 16), nonce).setAAD(header);
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  /** After a key update. */
  renewKey(): void {
    this.secret = this.#expand('traffic upd', 32);
    this.#sequence = 0;
  }

  #expand(name: string, bytes: number): Buffer {
    const label = Buffer.from(`tls13 ${name}`);
    const info = Buffer.concat([Buffer.of(0, bytes, label.length), label, Buffer.of(0, 1)]);
    return createHmac('sha256', this.secret).update(info).digest().subarray(0, bytes);
  }
}

export interface SealingClient {
  /** Reads what the server sends; what is for the server goes to `raw`, sealed. */
  readonly client: TLSSocket;
  readonly raw: Socket;
  readonly sealer: RecordSealer;
}

export async function connectSealing(port: number, ca: string): Promise<SealingClient> {
  const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const ciphers = 'TLS_AES_128_GCM_SHA256';
  const client = connectTls({ socket: raw, ca, servername: 'localhost', ciphers, allowHalfOpen: true } as never);
  for (const socket of [raw, client]) socket.on('error', () => undefined);
  let secret = '';
  client.on('keylog', (line: Buffer) => {
    secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ (\S+)/.exec(line.toString())?.[1] ?? secret;
  });
  await once(client, 'secureConnect');
  // Its Finished leaves before any record of ours.
  await new Promise((resolve) => setImmediate(resolve));
  return { client, raw, sealer: new RecordSealer(Buffer.from(secret, 'hex')) };
}
