import type { HsmKey, SignatureInput, SignatureScheme } from '@nest-hsm/hsm';
import type { SignatureWanted } from './addon.js';
import { TlsOffloadError } from './errors.js';

/** Whoever signs handshakes. `Hsm` of @nest-hsm/hsm is one. */
export interface HandshakeSigner {
  /**
   * @param data  what `input` says: the digest under the scheme's hash, or the message (Ed25519)
   * @returns RSA: the modulus's length; ECDSA: DER (RFC 3279 §2.2.3); Ed25519: 64 bytes
   */
  sign(key: HsmKey, scheme: SignatureScheme, data: Uint8Array, options: HandshakeSignOptions): Promise<Uint8Array>;
}

export interface HandshakeSignOptions {
  readonly input: SignatureInput;
  /** What is left of the handshake. */
  readonly deadlineMilliseconds: number;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  /** A client waits: a second HSM may sign too when the first takes unusually long. */
  readonly hedge: true;
}

export interface SignatureStatistics {
  readonly pending: number;
  readonly signed: number;
  readonly failed: number;
  /** Refused because too many were pending. */
  readonly shed: number;
  /** Given up because the client had gone or the handshake's time was over. */
  readonly cancelled: number;
}

/** One signer for each key, however many certificates it has and however often they are replaced. */
export class KeySigners {
  readonly #signers: KeySigner[] = [];

  constructor(private readonly pendingLimit: number) {}

  of({ key, signer }: Pick<KeySigner, 'key' | 'signer'>): KeySigner {
    const known = this.#signers.find((each) => each.signer === signer && each.key.id === key.id);
    if (known !== undefined) return known;
    const added = new KeySigner(key, signer, this.pendingLimit);
    this.#signers.push(added);
    return added;
  }

  /** By label, which the versions of a key share. Keys that serve no more stay counted. */
  get statistics(): Record<string, SignatureStatistics> {
    const byLabel: Record<string, SignatureStatistics> = {};
    for (const { key, statistics } of this.#signers) {
      const { [key.label]: before } = byLabel;
      byLabel[key.label] = before === undefined ? statistics : sum(before, statistics);
    }
    return byLabel;
  }
}

function sum(a: SignatureStatistics, b: SignatureStatistics): SignatureStatistics {
  return {
    pending: a.pending + b.pending,
    signed: a.signed + b.signed,
    failed: a.failed + b.failed,
    shed: a.shed + b.shed,
    cancelled: a.cancelled + b.cancelled,
  };
}

/** The handshake signatures of one key: a bounded number at a time, counted. */
export class KeySigner {
  #pending = 0;
  #signed = 0;
  #failed = 0;
  #shed = 0;
  #cancelled = 0;

  constructor(
    readonly key: HsmKey,
    readonly signer: HandshakeSigner,
    private readonly pendingLimit: number,
  ) {}

  get statistics(): SignatureStatistics {
    return {
      pending: this.#pending,
      signed: this.#signed,
      failed: this.#failed,
      shed: this.#shed,
      cancelled: this.#cancelled,
    };
  }

  /**
   * A place is held until the signer answers, even if the client has gone: calls that the token still works on count.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_SIGNATURES_SATURATED | ERR_TLS_OFFLOAD_SIGNATURE_FAILED
   */
  async sign(wanted: SignatureWanted, deadlineMilliseconds: number, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#pending >= this.pendingLimit) {
      this.#shed++;
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_SIGNATURES_SATURATED',
        `key ${this.key.label}: want at most ${this.pendingLimit} handshakes waiting for it, got one more`,
      );
    }
    this.#pending++;
    try {
      const { scheme, input, data } = wanted;
      const options = { input, deadlineMilliseconds, signal, hedge: true } as const;
      const signature = await this.signer.sign(this.key, scheme, data, options);
      if (signal.aborted) this.#cancelled++;
      else this.#signed++;
      return signature;
    } catch (cause) {
      if (signal.aborted) this.#cancelled++;
      else this.#failed++;
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_SIGNATURE_FAILED',
        `key ${this.key.label}: want a ${wanted.scheme} signature, got ${(cause as Error).message}`,
        { cause },
      );
    } finally {
      this.#pending--;
    }
  }
}
