import type { X509Certificate } from 'node:crypto';
import type { HsmKey } from '@nest-hsm/hsm';
import { parseCertificateChain } from './certificate-chain.js';
import { TlsOffloadError } from './errors.js';
import type { HandshakeSigner } from './handshake-signer.js';

/** What a server, or a client, proves itself with: a certificate chain, the token key of its leaf, and who signs with that key. */
export class Credential {
  /**
   * Refuses a chain that does not belong to the key, so that no client meets the mistake.
   * @param chainPem  leaf first; the root may be left out
   * @param source  where the chain comes from, for messages
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
   */
  static fromPem(chainPem: string, key: HsmKey, signer: HandshakeSigner, source = 'certificate chain'): Credential {
    const chain = parseCertificateChain(chainPem, source);
    const spki = chain[0].publicKey.export({ format: 'der', type: 'spki' });
    if (key.usage !== 'sign' || key.spki === undefined || !spki.equals(key.spki)) {
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_KEY_MISMATCH',
        `${source}: want a certificate for key ${key.label}, got one for another key`,
      );
    }
    return new Credential(chain, key, signer);
  }

  private constructor(
    readonly chain: readonly X509Certificate[],
    readonly key: HsmKey,
    readonly signer: HandshakeSigner,
  ) {}

  /** When the leaf stops being valid. */
  get notAfter(): Date {
    return this.chain[0].validToDate;
  }
}
