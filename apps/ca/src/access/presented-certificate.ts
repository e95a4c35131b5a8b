import { X509Certificate } from 'node:crypto';
import { BlockList, isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';

/** Finds the client certificate of a request: that of the connection, or, behind a TLS terminator that is trusted, of its header. */
export class PresentedCertificate {
  readonly #terminators = new BlockList();

  /** @param terminators  addresses and ranges in CIDR notation whose Client-Cert header is believed */
  constructor(terminators: readonly string[]) {
    for (const each of terminators) {
      const [address, prefix] = each.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#terminators.addAddress(address, family);
      else this.#terminators.addSubnet(address, Number(prefix), family);
    }
  }

  /**
   * From a terminator only its header counts: its own certificate says nothing about whom it speaks for. From anybody else the
   * header counts for nothing.
   */
  of({ headers, raw: { socket } }: FastifyRequest): X509Certificate | undefined {
    const { remoteAddress = '' } = socket;
    if (this.#terminators.check(remoteAddress, isIP(remoteAddress) === 6 ? 'ipv6' : 'ipv4'))
      return readClientCert(headers['client-cert']);
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
