/**
 * The messages between an application and a token agent. Closed verbs (SECURITY.md): no templates from callers, no
 * handles, no reading of CKA_VALUE, no mechanism outside the algorithm tables.
 *
 * The first request on every connection is `hello`; anything else before it ends the connection. Every request is answered
 * once, in any order. `message.ts` and `verb-codec.ts` turn messages into bytes and back.
 */
import type { KeyAlgorithm } from '../algorithm/key-algorithm.js';
import type { EcdsaSignatureFormat, SignatureScheme } from '../algorithm/signature-scheme.js';
import type { TransportAlgorithm, WrappingAlgorithm } from '../algorithm/wrapping-algorithm.js';
import type { KeyDescription, KeyId, KeySelector, KeyUsage } from '../key/key.js';

/** Raised by every incompatible change; an agent and an application of different versions refuse each other. */
export const protocolVersion = 3;

/** How an agent ends by itself; anything else is a crash or a kill. */
export const agentExitCodes = {
  /** Its client is gone or asked for it (SIGTERM). */
  done: 0,
  /** The PKCS#11 module heals only in a new process: spawn one. */
  instanceDead: 75,
} as const;

/** Of the text that ties an audit line to a request of the application. */
export const maximumCorrelationIdBytes = 64;

/** Sent by the application that spawned the agent, never by the clients of a shared one. */
export interface AgentSettings {
  /** Absolute path of the PKCS#11 module. */
  readonly module: string;
  readonly token: TokenSelector;
  readonly pin: WirePinSource;
  readonly sessions: number;
  readonly vendor: 'auto' | 'softhsm' | 'cloudhsm' | 'generic';
  /** Directory (0700) where a refused PIN is recorded, so that no later process tries it again. */
  readonly stateDirectory: string;
  /** Append-only file of audit lines; absent: none is written. */
  readonly auditFile?: string;
  /** What this client may do; absent: whatever its own token holds. */
  readonly policy?: readonly PolicyRule[];
}

export type TokenSelector = { readonly label: string } | { readonly serial: string };
/** `value` carries a PIN from an environment variable or a callback of the application (documented as weaker). */
export type WirePinSource =
  { readonly file: string } | { readonly command: readonly string[] } | { readonly value: string };

/** One line of an allow-list: these operations, with these mechanisms, on keys with this label. */
export interface PolicyRule {
  /** Exact key label, or a prefix ending in `*`. */
  readonly label: string;
  readonly operations: readonly PolicyOperation[];
  /** Signature schemes or wrapping algorithms; absent: any of our tables. */
  readonly mechanisms?: readonly string[];
}
export const policyOperations = [
  'sign', 'encrypt', 'decrypt', 'mac', 'generate', 'find', 'destroy', 'wrap', 'unwrap', 'export', 'import',
] as const; // prettier-ignore
export type PolicyOperation = (typeof policyOperations)[number];

export interface Hello {
  readonly version: number;
  /** Who is calling; the transport vouches for it, a client of a shared socket cannot choose it. */
  readonly client: string;
  readonly settings?: AgentSettings;
}

/** What the agent found, once it is logged in. */
export interface TokenDescription {
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly vendor: string;
  /** Schemes and algorithms the token offers and our tables know. */
  readonly mechanisms: readonly string[];
  /** CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED as far as set. */
  readonly pinWarnings: readonly string[];
}

export interface NewKey {
  /** Chosen by the caller before the key is made, so that an unknown outcome can be looked up. */
  readonly id: KeyId;
  readonly label: string;
  readonly algorithm: KeyAlgorithm;
  readonly usage: KeyUsage;
  /** A session object that may be wrapped once (replication); everything else is a non-extractable token object. */
  readonly extractable: boolean;
}

/** Members and recovery keys of the largest fleet. */
export const maximumRecipients = 64;

/** A message, or its digest under the scheme's hash (`digest` is refused for ed25519). */
export const signatureInputs = ['message', 'digest'] as const;
export type SignatureInput = (typeof signatureInputs)[number];

/** Whom a key is exported to: whoever has the private half. Pinned by the caller. */
export interface Recipient {
  /** DER SubjectPublicKeyInfo of an RSA key of 2048, 3072 or 4096 bits. */
  readonly spki: Uint8Array;
  readonly algorithm: TransportAlgorithm;
}

/** A key on its way to one recipient. */
export interface KeyTransfer {
  /** A one-use AES-256 key under the recipient's RSA key; as long as its modulus. */
  readonly transport: Buffer;
  /** The key under that AES key (AES-KWP, RFC 5649). */
  readonly wrapped: Buffer;
}

/** Every verb: what is asked and what is answered. */
export interface Verbs {
  hello: { request: Hello; answer: TokenDescription };
  /** Answered by the agent's event loop without touching the token. */
  ping: { request: Record<never, never>; answer: Record<never, never> };
  /**
   * Drops a queued request, which is then answered with ERR_HSM_ABORTED; a call already on the token runs to its end and
   * is answered as usual. So every request has exactly one answer, and whoever sent it knows how many are under way.
   */
  cancel: { request: { readonly requestId: number }; answer: Record<never, never> };
  sign: {
    request: {
      readonly keyId: KeyId;
      readonly scheme: SignatureScheme;
      readonly input: SignatureInput;
      readonly format: EcdsaSignatureFormat;
      /** Check the signature in software before answering; always done for RSA, whatever is asked. */
      readonly verify: boolean;
      readonly data: Uint8Array;
    };
    answer: { readonly signature: Buffer };
  };
  /** Envelope: u8 nonce length ‖ nonce ‖ ciphertext ‖ 16-byte tag. */
  encrypt: {
    request: { readonly keyId: KeyId; readonly aad: Uint8Array; readonly data: Uint8Array };
    answer: { readonly envelope: Buffer };
  };
  decrypt: {
    request: { readonly keyId: KeyId; readonly aad: Uint8Array; readonly envelope: Uint8Array };
    answer: { readonly data: Buffer };
  };
  mac: { request: { readonly keyId: KeyId; readonly data: Uint8Array }; answer: { readonly mac: Buffer } };
  random: { request: { readonly byteLength: number }; answer: { readonly data: Buffer } };
  generateKey: { request: NewKey; answer: KeyDescription };
  findKeys: { request: KeySelector; answer: readonly KeyDescription[] };
  destroyKey: { request: { readonly keyId: KeyId }; answer: { readonly destroyedObjects: number } };
  wrapKey: {
    request: { readonly keyId: KeyId; readonly wrappingKeyId: KeyId; readonly algorithm: WrappingAlgorithm };
    answer: { readonly wrapped: Buffer };
  };
  unwrapKey: {
    request: {
      readonly unwrappingKeyId: KeyId;
      readonly algorithm: WrappingAlgorithm;
      readonly key: NewKey;
      /** SubjectPublicKeyInfo of a private key, checked against it; RSA keys can do without, an EC point is not wrapped. */
      readonly spki?: Uint8Array;
      readonly wrapped: Uint8Array;
    };
    answer: KeyDescription;
  };
  /**
   * Lets an extractable key leave once, for every recipient at the same time, each under a one-use AES key of its own. With
   * the answer, or when the export fails half-way, the key is destroyed.
   */
  exportKey: {
    request: { readonly keyId: KeyId; readonly recipients: readonly Recipient[] };
    answer: {
      /** What `importKey` tells a secret key by. */
      readonly checkValue?: Buffer;
      /** In the order of the recipients. */
      readonly transfers: readonly KeyTransfer[];
    };
  };
  /** Takes an exported key in as a non-extractable token key, once it was shown to be the one that is meant. */
  importKey: {
    request: {
      /** The RSA key of usage `unwrap` that it was exported to. */
      readonly unwrappingKeyId: KeyId;
      readonly algorithm: TransportAlgorithm;
      readonly key: NewKey;
      /** SubjectPublicKeyInfo of a private key. */
      readonly spki?: Uint8Array;
      /** Of a secret key. */
      readonly checkValue?: Uint8Array;
      readonly transport: Uint8Array;
      readonly wrapped: Uint8Array;
    };
    answer: KeyDescription;
  };
}
export type Verb = keyof Verbs;
export type Request<V extends Verb> = Verbs[V]['request'];
export type Answer<V extends Verb> = Verbs[V]['answer'];

/** A request as the agent has it: its bytes are views into the frame that it came in. */
export type Received<V extends Verb> = { readonly [Field in keyof Request<V>]: AsBuffer<Request<V>[Field]> };
type AsBuffer<T> = T extends Uint8Array ? Buffer : T;

export interface RequestHeader<V extends Verb = Verb> {
  readonly verb: V;
  readonly requestId: number;
  /** What is left of the caller's deadline; 0 means it has passed. */
  readonly remainingMilliseconds: number;
  /** At most 64 bytes; empty when the caller gave none. */
  readonly correlationId: string;
}
/** One received request with its header, of whichever verb. */
export type ReceivedRequest = { [V in Verb]: RequestHeader<V> & { readonly request: Received<V> } }[Verb];

/** The u8 of each verb. Retry-safe: may be made again, here or elsewhere, without a second effect (SECURITY.md). */
export const verbFacts = {
  hello: { number: 0, retrySafe: false },
  ping: { number: 1, retrySafe: false },
  cancel: { number: 2, retrySafe: false },
  sign: { number: 3, retrySafe: true },
  encrypt: { number: 4, retrySafe: true },
  decrypt: { number: 5, retrySafe: true },
  mac: { number: 6, retrySafe: true },
  random: { number: 7, retrySafe: true },
  generateKey: { number: 8, retrySafe: false },
  findKeys: { number: 9, retrySafe: true },
  destroyKey: { number: 10, retrySafe: false },
  wrapKey: { number: 11, retrySafe: true },
  unwrapKey: { number: 12, retrySafe: false },
  exportKey: { number: 13, retrySafe: false },
  importKey: { number: 14, retrySafe: false },
} as const satisfies Record<Verb, { number: number; retrySafe: boolean }>;
