/**
 * The messages between an application and a token agent. Closed verbs (SECURITY.md): no templates from callers, no
 * handles, no reading of CKA_VALUE, no mechanism outside the algorithm tables.
 *
 *   request = u8 verb ‖ u32 request id ‖ u32 remaining milliseconds ‖ text correlation id ‖ verb's fields
 *   answer  = u8 kind ‖ u32 request id ‖ (kind = result: verb's fields | kind = error: JSON WireError)
 *
 * Hot verbs have binary fields; key management, which is rare, is JSON validated by zod on arrival.
 * The first request on every connection is `hello`; anything else before it ends the connection. Every request is answered
 * once, in any order.
 */
import { z } from 'zod';
import { keyAlgorithmNames, type KeyAlgorithm } from '../algorithm/key-algorithm.js';
import {
  type EcdsaSignatureFormat,
  ecdsaSignatureFormats,
  type SignatureScheme,
  signatureSchemeNames,
} from '../algorithm/signature-scheme.js';
import { type WrappingAlgorithm, wrappingAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { HsmError, type HsmErrorCode, hsmErrorCodes } from '../errors.js';
import { type KeyDescription, type KeyId, type KeySelector, type KeyUsage, keyUsages } from '../key/key.js';
import { FrameReader, FrameWriter } from './frame.js';

/** Raised by every incompatible change; an agent and an application of different versions refuse each other. */
export const protocolVersion = 1;

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
  'sign', 'encrypt', 'decrypt', 'mac', 'generate', 'find', 'destroy', 'wrap', 'unwrap',
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

/** A message, or its digest under the scheme's hash (`digest` is refused for ed25519). */
export const signatureInputs = ['message', 'digest'] as const;
export type SignatureInput = (typeof signatureInputs)[number];

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
}
export type Verb = keyof Verbs;
export type Request<V extends Verb> = Verbs[V]['request'];
export type Answer<V extends Verb> = Verbs[V]['answer'];

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
} as const satisfies Record<Verb, { number: number; retrySafe: boolean }>;

const verbByNumber = new Map(
  (Object.keys(verbFacts) as Verb[]).map((verb): [number, Verb] => [verbFacts[verb].number, verb]),
);

const keyId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((id) => id as KeyId);
const label = z.string().min(1).max(64);
const usage = z.enum(keyUsages);
const newKey = z.strictObject({
  id: keyId,
  label,
  algorithm: z.enum(keyAlgorithmNames),
  usage,
  extractable: z.boolean(),
});
const keyDescription = z.strictObject({
  id: keyId,
  label: z.string(),
  algorithm: z.enum(keyAlgorithmNames),
  usage,
  spki: z.base64().optional(),
  extractable: z.boolean(),
});
const helloSchema = z.strictObject({
  version: z.int(),
  client: z.string().min(1).max(64),
  settings: z
    .strictObject({
      module: z.string(),
      token: z.union([z.strictObject({ label: z.string() }), z.strictObject({ serial: z.string() })]),
      pin: z.union([
        z.strictObject({ file: z.string() }),
        z.strictObject({ command: z.array(z.string()).min(1) }),
        z.strictObject({ value: z.string() }),
      ]),
      sessions: z.int().min(1).max(1024),
      vendor: z.enum(['auto', 'softhsm', 'cloudhsm', 'generic']),
      stateDirectory: z.string(),
      auditFile: z.string().optional(),
      policy: z
        .array(
          z.strictObject({
            label: z.string(),
            operations: z.array(z.enum(policyOperations)),
            mechanisms: z.array(z.string()).optional(),
          }),
        )
        .optional(),
    })
    .optional(),
});
const tokenDescription = z.strictObject({
  label: z.string(),
  serial: z.string(),
  manufacturer: z.string(),
  model: z.string(),
  vendor: z.string(),
  mechanisms: z.array(z.string()),
  pinWarnings: z.array(z.string()),
});
const selector = z.strictObject({ id: keyId.optional(), label: z.string().optional(), usage: usage.optional() });

interface Codec<T> {
  write(writer: FrameWriter, value: T): void;
  read(reader: FrameReader): T;
}

/** @param fault  ERR_HSM_ARGUMENT_INVALID where what does not fit comes from a caller's arguments: answered, not fatal */
function jsonCodec<T>(schema: z.ZodType<T>, fault: HsmErrorCode = 'ERR_HSM_PROTOCOL'): Codec<T> {
  return {
    write: (writer, value) => void writer.json(value),
    read: (reader) => {
      const parsed = schema.safeParse(reader.json());
      if (parsed.success) return parsed.data;
      // A hostile message can hold a million faults.
      throw new HsmError(fault, `message: ${z.prettifyError(parsed.error).slice(0, 1_000)}`);
    },
  };
}

const nothing: Codec<Record<never, never>> = { write: () => undefined, read: () => ({}) };

/** One of a list of names, as its index. */
function indexOf<T extends string>(values: readonly T[], value: T): number {
  const index = values.indexOf(value);
  if (index >= 0) return index;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `want one of ${values.join(', ')}, got ${String(value).slice(0, 40)}`);
}

function valueAt<T>(values: readonly T[], index: number): T {
  if (index < values.length) return values[index];
  throw new HsmError('ERR_HSM_PROTOCOL', `message: no value numbered ${index}`);
}

/** A fraction would be cut off on the way, not refused. */
function wholeNumber(value: number): number {
  if (Number.isInteger(value)) return value;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `want a whole number, got ${value}`);
}

const booleans = [false, true] as const;

/** Absent bytes cross the wire as none. */
const noBytes = new Uint8Array(0);
function someBytes(bytes: Buffer): Buffer | undefined {
  return bytes.length === 0 ? undefined : bytes;
}

function describe(wire: z.infer<typeof keyDescription>): KeyDescription {
  const { spki, ...rest } = wire;
  return spki === undefined ? rest : { ...rest, spki: Buffer.from(spki, 'base64') };
}

/** Keys cross the wire as JSON, their SubjectPublicKeyInfo in base64. */
const key: Codec<KeyDescription> = {
  write: (writer, value) => void writer.json({ ...value, spki: value.spki?.toString('base64') }),
  read: (reader) => describe(jsonCodec(keyDescription).read(reader)),
};
const keys: Codec<readonly KeyDescription[]> = {
  write: (writer, value) => void writer.json(value.map((each) => ({ ...each, spki: each.spki?.toString('base64') }))),
  read: (reader) => jsonCodec(z.array(keyDescription)).read(reader).map(describe),
};

const codecs: { readonly [V in Verb]: { request: Codec<Request<V>>; answer: Codec<Answer<V>> } } = {
  hello: { request: jsonCodec(helloSchema), answer: jsonCodec(tokenDescription) },
  ping: { request: nothing, answer: nothing },
  cancel: {
    request: { write: (w, r) => void w.u32(r.requestId), read: (r) => ({ requestId: r.u32() }) },
    answer: nothing,
  },
  sign: {
    request: {
      write: (w, r) =>
        void w
          .id(r.keyId)
          .u8(indexOf(signatureSchemeNames, r.scheme))
          .u8(indexOf(signatureInputs, r.input))
          .u8(indexOf(ecdsaSignatureFormats, r.format))
          .u8(r.verify ? 1 : 0)
          .bytes(r.data),
      read: (r) => ({
        keyId: r.id() as KeyId,
        scheme: valueAt(signatureSchemeNames, r.u8()),
        input: valueAt(signatureInputs, r.u8()),
        format: valueAt(ecdsaSignatureFormats, r.u8()),
        verify: valueAt(booleans, r.u8()),
        data: r.bytes(),
      }),
    },
    answer: { write: (w, a) => void w.bytes(a.signature), read: (r) => ({ signature: Buffer.from(r.bytes()) }) },
  },
  encrypt: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.aad).bytes(r.data),
      read: (r) => ({ keyId: r.id() as KeyId, aad: r.bytes(), data: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.envelope), read: (r) => ({ envelope: Buffer.from(r.bytes()) }) },
  },
  decrypt: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.aad).bytes(r.envelope),
      read: (r) => ({ keyId: r.id() as KeyId, aad: r.bytes(), envelope: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.data), read: (r) => ({ data: Buffer.from(r.bytes()) }) },
  },
  mac: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.data),
      read: (r) => ({ keyId: r.id() as KeyId, data: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.mac), read: (r) => ({ mac: Buffer.from(r.bytes()) }) },
  },
  random: {
    request: { write: (w, r) => void w.u32(wholeNumber(r.byteLength)), read: (r) => ({ byteLength: r.u32() }) },
    answer: { write: (w, a) => void w.bytes(a.data), read: (r) => ({ data: Buffer.from(r.bytes()) }) },
  },
  generateKey: { request: jsonCodec(newKey, 'ERR_HSM_ARGUMENT_INVALID'), answer: key },
  findKeys: { request: jsonCodec(selector, 'ERR_HSM_ARGUMENT_INVALID'), answer: keys },
  destroyKey: {
    request: { write: (w, r) => void w.id(r.keyId), read: (r) => ({ keyId: r.id() as KeyId }) },
    answer: { write: (w, a) => void w.u32(a.destroyedObjects), read: (r) => ({ destroyedObjects: r.u32() }) },
  },
  wrapKey: {
    request: {
      write: (w, r) => void w.id(r.keyId).id(r.wrappingKeyId).u8(indexOf(wrappingAlgorithmNames, r.algorithm)),
      read: (r) => ({
        keyId: r.id() as KeyId,
        wrappingKeyId: r.id() as KeyId,
        algorithm: valueAt(wrappingAlgorithmNames, r.u8()),
      }),
    },
    answer: { write: (w, a) => void w.bytes(a.wrapped), read: (r) => ({ wrapped: Buffer.from(r.bytes()) }) },
  },
  unwrapKey: {
    request: {
      write: (w, r) =>
        void w
          .id(r.unwrappingKeyId)
          .u8(indexOf(wrappingAlgorithmNames, r.algorithm))
          .json(r.key)
          .bytes(r.spki ?? noBytes)
          .bytes(r.wrapped),
      read: (r) => ({
        unwrappingKeyId: r.id() as KeyId,
        algorithm: valueAt(wrappingAlgorithmNames, r.u8()),
        key: jsonCodec(newKey, 'ERR_HSM_ARGUMENT_INVALID').read(r),
        spki: someBytes(r.bytes()),
        wrapped: r.bytes(),
      }),
    },
    answer: key,
  },
};

/** An error as it crosses the wire. */
const wireError = z.strictObject({
  code: z.enum(hsmErrorCodes as readonly [HsmErrorCode, ...HsmErrorCode[]]),
  message: z.string(),
  returnValue: z.string().optional(),
  pkcs11Function: z.string().optional(),
  retryable: z.boolean(),
});

export interface RequestHeader<V extends Verb = Verb> {
  readonly verb: V;
  readonly requestId: number;
  /** What is left of the caller's deadline; 0 means it has passed. */
  readonly remainingMilliseconds: number;
  /** At most 64 bytes; empty when the caller gave none. */
  readonly correlationId: string;
}

/**
 * Adds a request to the frames of a writer.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID; the writer is left as it was
 */
export function writeRequest<V extends Verb>(writer: FrameWriter, header: RequestHeader<V>, request: Request<V>): void {
  try {
    writer
      .u8(verbFacts[header.verb].number)
      .u32(header.requestId)
      .u32(header.remainingMilliseconds)
      .text(header.correlationId);
    codecs[header.verb].request.write(writer, request);
    writer.endFrame();
  } catch (error) {
    writer.abandonFrame();
    throw error;
  }
}

export type DecodedRequest = { [V in Verb]: { header: RequestHeader<V>; request: Request<V> } }[Verb];

/** @throws {HsmError} ERR_HSM_PROTOCOL */
export function decodeRequest(body: Buffer): DecodedRequest {
  const reader = new FrameReader(body);
  const number = reader.u8();
  const verb = verbByNumber.get(number);
  if (verb === undefined) throw new HsmError('ERR_HSM_PROTOCOL', `message: no verb numbered ${number}`);
  const header = {
    verb,
    requestId: reader.u32(),
    remainingMilliseconds: reader.u32(),
    correlationId: correlationId(reader),
  };
  const request = codecs[verb].request.read(reader);
  reader.end();
  return { header, request } as DecodedRequest;
}

function correlationId(reader: FrameReader): string {
  const bytes = reader.bytes();
  if (bytes.length <= maximumCorrelationIdBytes) return bytes.toString('utf8');
  throw new HsmError(
    'ERR_HSM_PROTOCOL',
    `correlation id: want at most ${maximumCorrelationIdBytes} bytes, got ${bytes.length}`,
  );
}

/** Adds an answer to the frames of a writer. @throws {HsmError} ERR_HSM_ARGUMENT_INVALID; the writer is left as it was */
export function writeAnswer<V extends Verb>(writer: FrameWriter, verb: V, requestId: number, answer: Answer<V>): void {
  try {
    writer.u8(0).u32(requestId);
    codecs[verb].answer.write(writer, answer);
    writer.endFrame();
  } catch (error) {
    writer.abandonFrame();
    throw error;
  }
}

export function writeError(writer: FrameWriter, requestId: number, error: HsmError): void {
  const { code, message, returnValue, pkcs11Function, retryable } = error;
  writer.u8(1).u32(requestId).json({ code, message, returnValue, pkcs11Function, retryable }).endFrame();
}

export function encodeAnswer<V extends Verb>(verb: V, requestId: number, answer: Answer<V>): Buffer {
  const writer = new FrameWriter();
  writeAnswer(writer, verb, requestId, answer);
  return writer.frames;
}

export function encodeError(requestId: number, error: HsmError): Buffer {
  const writer = new FrameWriter();
  writeError(writer, requestId, error);
  return writer.frames;
}

/** Reads an answer in two steps, since the verb is known only to whoever holds the request id. */
export class AnswerReader {
  readonly requestId: number;
  /** Whether the agent answered with an error: then `error()` has it, otherwise `answer()`. */
  readonly failed: boolean;
  readonly #reader: FrameReader;

  /** @throws {HsmError} ERR_HSM_PROTOCOL */
  constructor(body: Buffer) {
    this.#reader = new FrameReader(body);
    this.failed = valueAt(booleans, this.#reader.u8());
    this.requestId = this.#reader.u32();
  }

  /** What was asked for, in bytes of its own. @throws {HsmError} ERR_HSM_PROTOCOL */
  answer<V extends Verb>(verb: V): Answer<V> {
    const answer = codecs[verb].answer.read(this.#reader);
    this.#reader.end();
    return answer;
  }

  /** The agent's error, with the name of its fleet member added. @throws {HsmError} ERR_HSM_PROTOCOL */
  error(member: string): HsmError {
    const { code, message, ...details } = jsonCodec(wireError).read(this.#reader);
    this.#reader.end();
    return new HsmError(code, message, { ...details, member });
  }
}
