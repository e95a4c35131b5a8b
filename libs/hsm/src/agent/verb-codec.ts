/**
 * The fields of each verb as bytes. Hot verbs have binary fields; key management, which is rare, is JSON validated by zod
 * on arrival.
 */
import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { ecdsaSignatureFormats, signatureSchemeNames } from '../algorithm/signature-scheme.js';
import {
  type TransportAlgorithm,
  transportAlgorithmNames,
  wrappingAlgorithmNames,
} from '../algorithm/wrapping-algorithm.js';
import { auditSettingsSchema } from '../audit/audit-settings.js';
import { HsmError, type HsmErrorCode, hsmErrorCodes } from '../errors.js';
import { type KeyDescription, type KeyId, keyUsages } from '../key/key.js';
import type { FrameReader, FrameWriter } from './frame.js';
import {
  type Answer,
  type KeyPage,
  type KeyTransfer,
  largestPage,
  type ObjectPage,
  policyOperations,
  type Received,
  type Recipient,
  type Request,
  signatureInputs,
  type Verb,
} from './protocol.js';

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
const policy = z.array(
  z.strictObject({
    label: z.string(),
    operations: z.array(z.enum(policyOperations)),
    mechanisms: z.array(z.string()).optional(),
    recipients: z.array(z.string()).optional(),
  }),
);
const sharing = z.strictObject({
  roles: z.array(
    z.strictObject({ name: z.string(), policy, connections: z.int().min(1), callsInFlight: z.int().min(1) }),
  ),
  hangMilliseconds: z.number(),
  generateHangMilliseconds: z.number(),
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
      audit: auditSettingsSchema.optional(),
      policy: policy.optional(),
      sharing: sharing.optional(),
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
const page = {
  after: z
    .string()
    .regex(/^(|-|[0-9a-f]{1,128})$/)
    .optional(),
  limit: z.int().min(1).max(largestPage).optional(),
};
const next = z.string().max(128).optional();
const selector = z.strictObject({
  id: keyId.optional(),
  label: z.string().optional(),
  usage: usage.optional(),
  ...page,
});
const objectReport = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{0,128}$/),
  kind: z.enum(['private', 'public', 'secret']),
  label: z.string(),
  isToken: z.boolean(),
  algorithm: z.enum(keyAlgorithmNames).optional(),
  usage: usage.optional(),
  spki: z.base64().optional(),
  digest: z.string().optional(),
  faults: z.array(z.string()).readonly(),
});

interface Codec<Sent, Read = Sent> {
  write(writer: FrameWriter, value: Sent): void;
  read(reader: FrameReader): Read;
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

const booleans = [false, true] as const;

/** Absent bytes cross the wire as none. */
const noBytes = new Uint8Array(0);
function someBytes(bytes: Buffer): Buffer | undefined {
  return bytes.length === 0 ? undefined : bytes;
}

/** u8 length ‖ items. */
function listOf<T>(reader: FrameReader, item: () => T): T[] {
  return Array.from({ length: reader.u8() }, item);
}

const recipients: Codec<readonly Recipient[], { readonly spki: Buffer; readonly algorithm: TransportAlgorithm }[]> = {
  write: (writer, value) => {
    writer.u8(value.length);
    for (const { spki, algorithm } of value) writer.bytes(spki).u8(indexOf(transportAlgorithmNames, algorithm));
  },
  read: (reader) =>
    listOf(reader, () => ({ spki: reader.bytes(), algorithm: valueAt(transportAlgorithmNames, reader.u8()) })),
};
const transfers: Codec<readonly KeyTransfer[]> = {
  write: (writer, value) => {
    writer.u8(value.length);
    for (const { transport, wrapped } of value) writer.bytes(transport).bytes(wrapped);
  },
  read: (reader) => listOf(reader, () => ({ transport: reader.ownBytes(), wrapped: reader.ownBytes() })),
};

const newKeyCodec = jsonCodec(newKey, 'ERR_HSM_ARGUMENT_INVALID');

function describe(wire: z.infer<typeof keyDescription>): KeyDescription {
  const { spki, ...rest } = wire;
  return spki === undefined ? rest : { ...rest, spki: Buffer.from(spki, 'base64') };
}

/** Keys cross the wire as JSON, their SubjectPublicKeyInfo in base64. */
const key: Codec<KeyDescription> = {
  write: (writer, value) => void writer.json({ ...value, spki: value.spki?.toString('base64') }),
  read: (reader) => describe(jsonCodec(keyDescription).read(reader)),
};
const keyPage = jsonCodec(z.strictObject({ keys: z.array(keyDescription), next }));
const keys: Codec<KeyPage> = {
  write: (writer, value) => {
    const described = value.map((each) => ({ ...each, spki: each.spki?.toString('base64') }));
    keyPage.write(writer, { keys: described, next: value.next });
  },
  read: (reader) => {
    const { keys: described, next: following } = keyPage.read(reader);
    return toPage(described.map(describe), following);
  },
};
const objectsRequest = jsonCodec(
  z.strictObject({ id: keyId.optional(), spki: z.base64().optional(), ...page }),
  'ERR_HSM_ARGUMENT_INVALID',
);
const objectPage = jsonCodec(z.strictObject({ objects: z.array(objectReport), next }));
const objects: Codec<ObjectPage> = {
  write: (writer, value) => {
    const reports = value.objects.map((each) => ({ ...each, spki: each.spki?.toString('base64') }));
    objectPage.write(writer, { objects: reports, next: value.next });
  },
  read: (reader) => {
    const { objects: reports, next: following } = objectPage.read(reader);
    const read = reports.map(({ spki, ...rest }) => (spki ? { ...rest, spki: Buffer.from(spki, 'base64') } : rest));
    return following === undefined ? { objects: read } : { objects: read, next: following };
  },
};

/** A list of keys that knows what comes after it. */
export function toPage(described: readonly KeyDescription[], following?: string): KeyPage {
  return following === undefined ? described : Object.assign([...described], { next: following });
}

export const verbCodecs: {
  readonly [V in Verb]: { readonly request: Codec<Request<V>, Received<V>>; readonly answer: Codec<Answer<V>> };
} = {
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
    answer: { write: (w, a) => void w.bytes(a.signature), read: (r) => ({ signature: r.ownBytes() }) },
  },
  encrypt: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.aad).bytes(r.data),
      read: (r) => ({ keyId: r.id() as KeyId, aad: r.bytes(), data: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.envelope), read: (r) => ({ envelope: r.ownBytes() }) },
  },
  decrypt: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.aad).bytes(r.envelope),
      read: (r) => ({ keyId: r.id() as KeyId, aad: r.bytes(), envelope: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.data), read: (r) => ({ data: r.ownBytes() }) },
  },
  mac: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.data),
      read: (r) => ({ keyId: r.id() as KeyId, data: r.bytes() }),
    },
    answer: { write: (w, a) => void w.bytes(a.mac), read: (r) => ({ mac: r.ownBytes() }) },
  },
  random: {
    request: { write: (w, r) => void w.u32(r.byteLength), read: (r) => ({ byteLength: r.u32() }) },
    answer: { write: (w, a) => void w.bytes(a.data), read: (r) => ({ data: r.ownBytes() }) },
  },
  generateKey: { request: newKeyCodec, answer: key },
  findKeys: { request: jsonCodec(selector, 'ERR_HSM_ARGUMENT_INVALID'), answer: keys },
  inspectObjects: {
    request: {
      write: (w, { spki, ...rest }) => objectsRequest.write(w, { ...rest, spki: spki?.toString('base64') }),
      read: (r) => {
        const { spki, ...rest } = objectsRequest.read(r);
        return spki === undefined ? rest : { ...rest, spki: Buffer.from(spki, 'base64') };
      },
    },
    answer: objects,
  },
  checkKey: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.checkValue ?? noBytes),
      read: (r) => ({ keyId: r.id() as KeyId, checkValue: someBytes(r.bytes()) }),
    },
    answer: {
      write: (w, a) => void w.bytes(a.checkValue ?? noBytes).u8(a.matches ? 1 : 0),
      read: (r) => ({ checkValue: someBytes(r.ownBytes()), matches: valueAt(booleans, r.u8()) }),
    },
  },
  destroyKey: {
    request: {
      write: (w, r) => void w.id(r.keyId).bytes(r.spki ?? noBytes),
      read: (r) => ({ keyId: r.id() as KeyId, spki: someBytes(r.bytes()) }),
    },
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
    answer: { write: (w, a) => void w.bytes(a.wrapped), read: (r) => ({ wrapped: r.ownBytes() }) },
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
        key: newKeyCodec.read(r),
        spki: someBytes(r.bytes()),
        wrapped: r.bytes(),
      }),
    },
    answer: key,
  },
  exportKey: {
    request: {
      write: (w, r) => {
        w.id(r.keyId);
        recipients.write(w, r.recipients);
      },
      read: (r) => ({ keyId: r.id() as KeyId, recipients: recipients.read(r) }),
    },
    answer: {
      write: (w, a) => {
        w.bytes(a.checkValue ?? noBytes);
        transfers.write(w, a.transfers);
      },
      read: (r) => ({ checkValue: someBytes(r.ownBytes()), transfers: transfers.read(r) }),
    },
  },
  transferKey: {
    request: {
      write: (w, r) => {
        w.id(r.unwrappingKeyId).u8(indexOf(transportAlgorithmNames, r.algorithm)).json(r.key);
        w.bytes(r.transport).bytes(r.wrapped);
        recipients.write(w, r.recipients);
      },
      read: (r) => ({
        unwrappingKeyId: r.id() as KeyId,
        algorithm: valueAt(transportAlgorithmNames, r.u8()),
        key: newKeyCodec.read(r),
        transport: r.bytes(),
        wrapped: r.bytes(),
        recipients: recipients.read(r),
      }),
    },
    answer: { write: (w, a) => transfers.write(w, a.transfers), read: (r) => ({ transfers: transfers.read(r) }) },
  },
  importKey: {
    request: {
      write: (w, r) =>
        void w
          .id(r.unwrappingKeyId)
          .u8(indexOf(transportAlgorithmNames, r.algorithm))
          .json(r.key)
          .bytes(r.spki ?? noBytes)
          .bytes(r.checkValue ?? noBytes)
          .bytes(r.transport)
          .bytes(r.wrapped),
      read: (r) => ({
        unwrappingKeyId: r.id() as KeyId,
        algorithm: valueAt(transportAlgorithmNames, r.u8()),
        key: newKeyCodec.read(r),
        spki: someBytes(r.bytes()),
        checkValue: someBytes(r.bytes()),
        transport: r.bytes(),
        wrapped: r.bytes(),
      }),
    },
    answer: key,
  },
};

/** An error as it crosses the wire. */
export const errorCodec = jsonCodec(
  z.strictObject({
    code: z.enum(hsmErrorCodes as readonly [HsmErrorCode, ...HsmErrorCode[]]),
    message: z.string(),
    returnValue: z.string().optional(),
    pkcs11Function: z.string().optional(),
    retryable: z.boolean(),
  }),
);
