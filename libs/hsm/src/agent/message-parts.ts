/** What messages are made of: who says hello, keys and what is known of them, whom they go to. */
import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { type TransportAlgorithm, transportAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { auditSettingsSchema } from '../audit/audit-settings.js';
import { type KeyDescription, type KeyId, keyUsages } from '../key/key.js';
import { type Codec, indexOf, jsonCodec, listOf, valueAt } from './codec.js';
import {
  type KeyPage,
  type KeyTransfer,
  largestPage,
  type ObjectPage,
  policyOperations,
  type Recipient,
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
export const helloSchema = z.strictObject({
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
export const tokenDescription = z.strictObject({
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
export const selector = z.strictObject({
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

export const recipients: Codec<
  readonly Recipient[],
  { readonly spki: Buffer; readonly algorithm: TransportAlgorithm }[]
> = {
  write: (writer, value) => {
    writer.u8(value.length);
    for (const { spki, algorithm } of value) writer.bytes(spki).u8(indexOf(transportAlgorithmNames, algorithm));
  },
  read: (reader) =>
    listOf(reader, () => ({ spki: reader.bytes(), algorithm: valueAt(transportAlgorithmNames, reader.u8()) })),
};
export const transfers: Codec<readonly KeyTransfer[]> = {
  write: (writer, value) => {
    writer.u8(value.length);
    for (const { transport, wrapped } of value) writer.bytes(transport).bytes(wrapped);
  },
  read: (reader) => listOf(reader, () => ({ transport: reader.ownBytes(), wrapped: reader.ownBytes() })),
};

export const newKeyCodec = jsonCodec(newKey, 'ERR_HSM_ARGUMENT_INVALID');

function describe(wire: z.infer<typeof keyDescription>): KeyDescription {
  const { spki, ...rest } = wire;
  return spki === undefined ? rest : { ...rest, spki: Buffer.from(spki, 'base64') };
}

/** Keys cross the wire as JSON, their SubjectPublicKeyInfo in base64. */
export const key: Codec<KeyDescription> = {
  write: (writer, value) => void writer.json({ ...value, spki: value.spki?.toString('base64') }),
  read: (reader) => describe(jsonCodec(keyDescription).read(reader)),
};
const keyPage = jsonCodec(z.strictObject({ keys: z.array(keyDescription), next }));
export const keys: Codec<KeyPage> = {
  write: (writer, value) => {
    const described = value.map((each) => ({ ...each, spki: each.spki?.toString('base64') }));
    keyPage.write(writer, { keys: described, next: value.next });
  },
  read: (reader) => {
    const { keys: described, next: following } = keyPage.read(reader);
    return toPage(described.map(describe), following);
  },
};
export const objectsRequest = jsonCodec(
  z.strictObject({ id: keyId.optional(), spki: z.base64().optional(), ...page }),
  'ERR_HSM_ARGUMENT_INVALID',
);
const objectPage = jsonCodec(z.strictObject({ objects: z.array(objectReport), next }));
export const objects: Codec<ObjectPage> = {
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
