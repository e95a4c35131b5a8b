import type { HsmError, HsmKey, SignatureInput, SignatureScheme } from '@nest-hsm/hsm';
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
  /** Anybody can ask for it: what else the HSM is for keeps its share. */
  readonly trafficClass: 'interactive';
  /**
   * To be called where the promise is settled while a token may still be at work on it, before that.
   * @param ended  resolves when it is not any more; never rejects
   */
  readonly onLingering: Lingering;
}

/** What a handshake says of its signature. */
export type KeySignOptions = Pick<HandshakeSignOptions, 'deadlineMilliseconds' | 'signal'> &
  Partial<Pick<HandshakeSignOptions, 'onLingering'>>;

/** Told of a signature that nobody waits for any more: until when the token may be at work on it. */
export type Lingering = (ended: Promise<void>) => void;

export interface SignatureStatistics {
  /** Waited for, or still with the signer though their clients have gone. */
  readonly pending: number;
  readonly signed: number;
  readonly failed: number;
  /** Refused because too many were pending here, or wait for the signer. */
  readonly shed: number;
  /** Given up because the client had gone or the handshake's time was over. */
  readonly cancelled: number;
}

/** What became of a signature, and how long the handshake waited for it. */
export interface SignatureEvent {
  /** The key's label. */
  readonly key: string;
  readonly result: keyof Omit<SignatureStatistics, 'pending'>;
  readonly milliseconds: number;
}

/** One signer for each key, however many certificates it has and however often they are replaced. */
export class KeySigners {
  readonly #signers: KeySigner[] = [];

  constructor(
    private readonly pendingLimit: number,
    private readonly ended?: (event: SignatureEvent) => void,
  ) {}

  of({ key, signer }: Pick<KeySigner, 'key' | 'signer'>): KeySigner {
    const known = this.#signers.find((each) => each.signer === signer && each.key.id === key.id);
    if (known !== undefined) return known;
    const added = new KeySigner(key, signer, this.pendingLimit, this.ended);
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
  readonly #counts = { pending: 0, signed: 0, failed: 0, shed: 0, cancelled: 0 };

  constructor(
    readonly key: HsmKey,
    readonly signer: HandshakeSigner,
    private readonly pendingLimit: number,
    private readonly ended?: (event: SignatureEvent) => void,
  ) {}

  get statistics(): SignatureStatistics {
    return { ...this.#counts };
  }

  /**
   * A place is held until no token is at work on the signature any more, even if the client has gone.
   * @param data  what `wanted.input` says
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_SIGNATURES_SATURATED | ERR_TLS_OFFLOAD_SIGNATURE_FAILED
   */
  async sign(
    { scheme, input }: SignatureWanted,
    data: Uint8Array,
    { deadlineMilliseconds, signal, onLingering }: KeySignOptions,
  ): Promise<Uint8Array> {
    const begun = performance.now();
    if (this.#counts.pending >= this.pendingLimit) {
      this.#count('shed', begun);
      throw this.#saturated(`want at most ${this.pendingLimit} handshakes waiting for it, got one more`);
    }
    this.#counts.pending++;
    try {
      const hold: Lingering = (ended) => {
        this.#hold(ended);
        onLingering?.(ended);
      };
      const how = { hedge: true, trafficClass: 'interactive' } as const;
      const options = { input, deadlineMilliseconds, signal, onLingering: hold, ...how };
      const signature = await this.signer.sign(this.key, scheme, data, options);
      this.#count(signal.aborted ? 'cancelled' : 'signed', begun);
      return signature;
    } catch (cause) {
      const isShed = (cause as Partial<HsmError>).code === 'ERR_HSM_OVERLOADED';
      this.#count(signal.aborted ? 'cancelled' : isShed ? 'shed' : 'failed', begun);
      if (isShed) throw this.#saturated((cause as HsmError).message, cause);
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_SIGNATURE_FAILED',
        `key ${this.key.label}: want a ${scheme} signature, got ${(cause as Error).message}`,
        { cause },
      );
    } finally {
      this.#counts.pending--;
    }
  }

  /** One place more, since its own is given back when the promise is settled. */
  #hold(ended: Promise<void>): void {
    this.#counts.pending++;
    void ended.then(() => this.#counts.pending--);
  }

  #saturated(why: string, cause?: unknown): TlsOffloadError {
    return new TlsOffloadError('ERR_TLS_OFFLOAD_SIGNATURES_SATURATED', `key ${this.key.label}: ${why}`, { cause });
  }

  #count(result: SignatureEvent['result'], begun: number): void {
    this.#counts[result]++;
    this.ended?.({ key: this.key.label, result, milliseconds: performance.now() - begun });
  }
}
