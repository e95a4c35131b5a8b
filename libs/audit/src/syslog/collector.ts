import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { fileFault } from '../errors.js';

/** Where the messages go. */
export interface CollectorSettings {
  readonly host: string;
  readonly port: number;
  /** TLS verifies the collector by its certificate (RFC 5425 §4.2.1); TCP trusts the way to it. */
  readonly transport: 'tls' | 'tcp';
  readonly tls?: {
    /** PEM of those who certify collectors; the well-known ones when absent. */
    readonly caFile?: string;
    /** PEM of our own certificate and its key, for a collector that asks for them. */
    readonly certificateFile?: string;
    readonly keyFile?: string;
    /** In the collector's certificate, when it is not `host`. */
    readonly serverName?: string;
  };
  /** Without a sign of life. */
  readonly timeoutMilliseconds: number;
}

/** Begins a connection, whose end on the other side does not end ours. Files are read anew, since certificates are renewed. */
export async function connectTo({ host, port, transport, tls = {} }: CollectorSettings): Promise<Socket> {
  const endpoint = { host, port, allowHalfOpen: true };
  if (transport === 'tcp') return connectTcp(endpoint);
  const [ca, cert, key] = await Promise.all([tls.caFile, tls.certificateFile, tls.keyFile].map(read));
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return connectTls({ ...endpoint, ca, cert, key, servername, minVersion: 'TLSv1.2', rejectUnauthorized: true });
}

async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file);
  } catch (cause) {
    throw fileFault('ERR_AUDIT_FILE_UNUSABLE', file, 'a PEM file', cause);
  }
}
