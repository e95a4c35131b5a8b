/**
 * The messages between an application and a token agent. Closed verbs (SECURITY.md): no templates from callers, no
 * handles, no reading of CKA_VALUE, no mechanism outside the algorithm tables.
 *
 * The first request on every connection is `hello`; anything else before it ends the connection. Every request is answered
 * once, in any order. `message.ts` and the codecs turn messages into bytes and back.
 */
import type { KeyAlgorithm } from '../algorithm/key-algorithm.js';
import type { EcdsaSignatureFormat, SignatureScheme } from '../algorithm/signature-scheme.js';
import type { TransportAlgorithm, WrappingAlgorithm } from '../algorithm/wrapping-algorithm.js';
import type { AuditSettings } from '../audit/audit-settings.js';
import type { KeyDescription, KeyId, KeySelector, KeyUsage } from '../key/key.js';
import type { TrafficClass } from './traffic-class.js';

/** Raised by every incompatible change; an agent and an application of different versions refuse each other. */
export const protocolVersion = 4;

/** How an agent ends by itself; anything else is a crash or a kill. */
export const agentExitCodes = {
  /** Its client is gone or asked for it (SIGTERM). */
  done: 0,
  /** The PKCS#11 module heals only in a new process: spawn one. */
  instanceDead: 75,
} as const;

/** How a line of the agent's standard error begins that its application is to hear of. */
export const auditAlarm = 'token agent: audit lines are being lost: ';

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
  /** The trail it writes; absent: none. */
  readonly audit?: AuditSettings;
  /** What this client may do; absent: whatever its own token holds. */
  readonly policy?: readonly PolicyRule[];
  /** Absent: the agent is for the application that spawned it alone. */
  readonly sharing?: SharingSettings;
}

/** What an agent needs to serve the clients whose sockets it is handed by the process that spawned it. */
export interface SharingSettings {
  readonly roles: readonly SharedRole[];
  /** How long one operation may stay on the token before the agent ends itself, since no client may end it. */
  readonly hangMilliseconds: number;
  readonly generateHangMilliseconds: number;
}

/** One kind of client of a shared agent: whoever may open its socket. */
export interface SharedRole {
  /** The client in audit lines. */
  readonly name: string;
  /** All it may do. */
  readonly policy: readonly PolicyRule[];
  /** Connections at once. */
  readonly connections: number;
  /** Calls that one connection may have with the agent at once. */
  readonly callsInFlight: number;
}

export type TokenSelector = { readonly label: string } | { readonly serial: string };
/** `value` carries a PIN from an environment variable or a callback of the application (documented as weaker). */
export type WirePinSource =
  { readonly file: string } | { readonly command: readonly string[] } | { readonly value: string };

/** One line of an allow-list: these operations, with these mechanisms, on keys with this label. */
export interface PolicyRule {
  /** Exact key label, or its beginning and then `*`, or `*` and then its end. */
  readonly label: string;
  readonly operations: readonly PolicyOperation[];
  /** Signature schemes or wrapping algorithms; absent: any of our tables. */
  readonly mechanisms?: readonly string[];
  /** Whom a key may be exported to: SHA-256 of the SubjectPublicKeyInfo, hexadecimal; absent: anybody. */
  readonly recipients?: readonly string[];
}
export const policyOperations = [
  'sign', 'encrypt', 'decrypt', 'mac', 'generate', 'find', 'destroy', 'wrap', 'unwrap', 'export', 'import',
] as const; // prettier-ignore
export type PolicyOperation = (typeof policyOperations)[number];

export interface Hello {
  readonly version: number;
  /** Who is calling. On the socket of a shared agent it is ignored: the role is the socket's. */
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

/** Keys, or ids, in one page: the largest fits a frame. */
export const largestPage = 256;

/** Which part of a list is wanted. */
export interface PageRequest {
  /** What `next` of the page before said; absent for the first page. */
  readonly after?: string;
  /** At most so many; `largestPage` when absent. */
  readonly limit?: number;
}

/**
 * Keys in the order of their ids. `next` is absent on the last page; a page before it may be empty, when the token is slow. What
 * is asked for by id fits one page, and by label unless it has more than `largestPage` versions.
 */
export type KeyPage = readonly KeyDescription[] & { readonly next?: string };

/** Of every key, page by page; or at once those that carry an id, or hold the same public key. */
export interface ObjectsRequest extends PageRequest {
  readonly id?: KeyId;
  readonly spki?: Buffer;
}

export interface ObjectPage {
  readonly objects: readonly ObjectReport[];
  readonly next?: string;
}

/** One object as it is: of whatever program, and whatever may be wrong with it. */
export interface ObjectReport {
  /** CKA_ID, lower-case hexadecimal, cut to 64 bytes; empty when it has none. */
  readonly id: string;
  readonly kind: 'private' | 'public' | 'secret';
  readonly label: string;
  /** False for a session object, which is on its way. */
  readonly isToken: boolean;
  /** Absent when it is not in our tables. */
  readonly algorithm?: KeyAlgorithm;
  readonly usage?: KeyUsage;
  /** SubjectPublicKeyInfo of a public half. */
  readonly spki?: Buffer;
  /** CKA_CHECK_VALUE as the token gives it (3 bytes, hexadecimal): where it differs, so do the keys. */
  readonly digest?: string;
  /** Each attribute that is not as the table wants it: `CKA_WRAP: want false, got true`. */
  readonly faults: readonly string[];
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
  findKeys: { request: Omit<KeySelector, 'version'> & PageRequest; answer: KeyPage };
  /** What each object of a key says of itself, safe or not, ours or not: for audits. No value of a key is read. */
  inspectObjects: { request: ObjectsRequest; answer: ObjectPage };
  /**
   * Makes a secret key's check value (key/check-value.ts), or says whether the one that is given is its own. Keys with a public
   * half, and keys that wrap, have none.
   */
  checkKey: {
    request: { readonly keyId: KeyId; readonly checkValue?: Uint8Array };
    answer: { readonly checkValue?: Buffer; readonly matches: boolean };
  };
  /** Also the objects that hold the same public key: of what carries the id, or as given when nothing carries it any more. */
  destroyKey: {
    request: { readonly keyId: KeyId; readonly spki?: Uint8Array };
    answer: { readonly destroyedObjects: number };
  };
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
  /**
   * On a recovery token: opens what was left to its key and wraps it for others, each under a one-use AES key of its own. What is
   * opened is destroyed with the answer, and is nobody's to use meanwhile.
   */
  transferKey: {
    request: {
      /** The recovery key, by its label. */
      readonly unwrappingKeyId: KeyId;
      readonly algorithm: TransportAlgorithm;
      /** What it is. */
      readonly key: NewKey;
      readonly transport: Uint8Array;
      readonly wrapped: Uint8Array;
      readonly recipients: readonly Recipient[];
    };
    /** In the order of the recipients. */
    answer: { readonly transfers: readonly KeyTransfer[] };
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
  /** 1 for a call's first, more when it is made again or elsewhere too; 255 stands for any number above. */
  readonly attempt: number;
  /** In which share of the sessions it waits. */
  readonly trafficClass: TrafficClass;
  /** At most 64 bytes; empty when the caller gave none. */
  readonly correlationId: string;
}
/** One received request with its header, of whichever verb. */
export type ReceivedRequest = { [V in Verb]: RequestHeader<V> & { readonly request: Received<V> } }[Verb];

/** The u8 of each verb. Retry-safe: may be made again, here or elsewhere, without a second effect (SECURITY.md); what is wrapped is on one member. */
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
  wrapKey: { number: 11, retrySafe: false },
  unwrapKey: { number: 12, retrySafe: false },
  exportKey: { number: 13, retrySafe: false },
  importKey: { number: 14, retrySafe: false },
  transferKey: { number: 15, retrySafe: false },
  inspectObjects: { number: 20, retrySafe: true },
  checkKey: { number: 21, retrySafe: true },
} as const satisfies Record<Verb, { number: number; retrySafe: boolean }>;

/** Verbs that take seconds by nature: those that make a key, or one for each of many recipients. */
export const slowVerbs: ReadonlySet<Verb> = new Set<Verb>(['generateKey', 'exportKey', 'importKey', 'transferKey']);
