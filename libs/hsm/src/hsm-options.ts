/** What callers of an `Hsm` say besides the key: how long they wait, what is signed, which key is to be made. */
import type { AsymmetricKeyAlgorithm, SecretKeyAlgorithm } from './algorithm/key-algorithm.js';
import type { EcdsaSignatureFormat } from './algorithm/signature-scheme.js';
import type { SignatureInput } from './agent/protocol.js';
import type { TrafficClass } from './agent/traffic-class.js';

/** Options every call takes. */
export interface CallOptions {
  /** How long the caller will wait, in milliseconds; the configured `deadlineMilliseconds` when absent. */
  readonly deadlineMilliseconds?: number;
  /** Aborting rejects with ERR_HSM_ABORTED and drops the call if it has not reached the token. */
  readonly signal?: AbortSignal;
  /**
   * Told, before the caller is, when the call is settled while a token may still be at work on it: it was aborted, is late, or was
   * answered faster elsewhere. For who bounds what callers may have under way.
   * @param ended  resolves when no agent has the call any more; never rejects
   */
  readonly onLingering?: (ended: Promise<void>) => void;
  /**
   * In which share of the sessions the call waits when there are not enough of them. By default as what it does: signatures
   * `issuance`; encryption, decryption, MACs and random bytes `data`; all else `management`. `interactive` is for what anybody on the
   * network can ask for, of which there may be any number: signatures of TLS handshakes.
   */
  readonly trafficClass?: TrafficClass;
  /** At most 64 bytes, written to the audit line of this operation. */
  readonly correlationId?: string;
  /**
   * When the call takes unusually long, make it on a second member too and take the first answer. Only for calls that may be
   * made twice. Without effect for an issuer's key (`audit.issuerKeys`; of a fleet named `ca` each one), whose every signature is
   * an act of its own, and for signatures through a shared agent, whose configuration alone knows such keys, unless
   * `audit.issuerKeys` is here too. Default false.
   */
  readonly hedge?: boolean;
}

export interface SignOptions extends CallOptions {
  /** `digest`: the data is already the hash that the scheme names. Default `message`. */
  readonly input?: SignatureInput;
  /** ECDSA only. Default `der`. */
  readonly format?: EcdsaSignatureFormat;
  /** Verify in software before release. RSA signatures always are (a faulty RSA-CRT signature reveals the key). */
  readonly verify?: boolean;
}

export interface NewKeyPair {
  readonly label: string;
  readonly algorithm: AsymmetricKeyAlgorithm;
  /** As for `NewSecretKey`. */
  readonly first?: boolean;
  /** Default `sign`. `unwrap` makes an RSA pair for RSA-OAEP key transport. */
  readonly usage?: 'sign' | 'unwrap';
  /** Makes a session object that may be wrapped, for replication only. Default false. */
  readonly extractable?: boolean;
  /**
   * It is made to measure and destroyed at once: no record of its destruction is kept. Its label begins with
   * `nest-hsm-bench-`, and no other key's may. Default false.
   */
  readonly measurement?: boolean;
}

export interface NewSecretKey {
  readonly label: string;
  readonly algorithm: SecretKeyAlgorithm;
  /** aes-256: `encrypt` (a KEK) or `wrap` (key transport); hmac-sha256: `mac`. */
  readonly usage: 'encrypt' | 'wrap' | 'mac';
  readonly extractable?: boolean;
  /**
   * It is the first key of its label, and another process may be making that at the same moment: the two are versions of each
   * other then, and no ambiguity. Find the key by its label afterwards: all processes get the same one. Default false.
   */
  readonly first?: boolean;
  /** As for `NewKeyPair`. */
  readonly measurement?: boolean;
}
