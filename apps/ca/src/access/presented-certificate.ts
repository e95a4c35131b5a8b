import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import { Terminators } from './terminators.js';

/** Finds the client certificate of a request: that of the connection, or, behind a TLS terminator that is trusted, of its header. */
export class PresentedCertificate {
  readonly #terminators: Terminators;

  /** @param terminators  addresses and ranges in CIDR notation whose Client-Cert header is believed */
  constructor(terminators: readonly string[]) {
    this.#terminators = new Terminators(terminators);
  }

  /**
   * From a terminator only its header counts: its own certificate says nothing about whom it speaks for. From anybody else the
   * header counts for nothing.
   */
  of({ headers, raw: { socket } }: FastifyRequest): X509Certificate | undefined {
    if (this.#terminators.include(socket.remoteAddress ?? '')) return readClientCert(headers['client-cert']);
    return isSecure(socket) ? socket.getPeerX509Certificate() : undefined;
  }
}

/** Node.js' own, or any other with its face, as that of `@nest-hsm/tls-offload`. */
function isSecure(socket: Socket): socket is Pick<TLSSocket, 'getPeerX509Certificate'> & Socket {
  return 'getPeerX509Certificate' in socket && typeof socket.getPeerX509Certificate === 'function';
}

/** A Byte Sequence of RFC 8941 with the DER of one certificate (RFC 9440 §2.2). */
function readClientCert(header: string | string[] | undefined): X509Certificate | undefined {
  const [, base64] = (typeof header === 'string' && /^:([A-Za-z0-9+/=]+):$/.exec(header.trim())) || [];
  if (base64 === undefined) return undefined;
  try {
    return new X509Certificate(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}
