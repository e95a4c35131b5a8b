/** What messages are made of: who says hello, keys and what is known of them, whom they go to. */
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { type TransportAlgorithm, transportAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { auditSettings } from '../audit/audit-settings.js';
import { type KeyDescription, type KeyId, keyUsages } from '../key/key.js';
import {
  base64,
  boolean,
  either,
  integer,
  listOf,
  matching,
  number,
  oneOf,
  optional,
  record,
  type ShapeOf,
  text,
} from '../shape.js';
import { type Codec, countedList, indexOf, jsonCodec, valueAt } from './codec.js';
import {
  type KeyPage,
  type KeyTransfer,
  largestPage,
  type ObjectPage,
  policyOperations,
  type Recipient,
} from './protocol.js';

const keyId = matching<KeyId>(/^[0-9a-f]{32}$/);
const label = text(1, 64);
const usage = oneOf(keyUsages);
const algorithm = oneOf(keyAlgorithmNames);
const newKey = record({ id: keyId, label, algorithm, usage, extractable: boolean });
const keyDescription = record({
  id: keyId,
  label: text(),
  algorithm,
  usage,
  spki: optional(base64),
  extractable: boolean,
});
const policy = listOf(
  record({
    label: text(),
    operations: listOf(oneOf(policyOperations)),
    mechanisms: optional(listOf(text())),
    recipients: optional(listOf(text())),
  }),
);
const sharing = record({
  roles: listOf(record({ name: text(), policy, connections: integer(1), callsInFlight: integer(1) })),
  hangMilliseconds: number(),
  generateHangMilliseconds: number(),
});
export const hello = record({
  version: integer(),
  client: text(1, 64),
  settings: optional(
    record({
      module: text(),
      token: either(record({ label: text() }), record({ serial: text() })),
      pin: either(record({ file: text() }), record({ command: listOf(text(), 1) }), record({ value: text() })),
      sessions: integer(1, 1024),
      vendor: oneOf(['auto', 'softhsm', 'cloudhsm', 'generic']),
      stateDirectory: text(),
      audit: optional(auditSettings),
      policy: optional(policy),
      sharing: optional(sharing),
    }),
  ),
});
export const tokenDescription = record({
  label: text(),
  serial: text(),
  manufacturer: text(),
  model: text(),
  vendor: text(),
  mechanisms: listOf(text()),
  pinWarnings: listOf(text()),
});
const page = {
  after: optional(matching(/^(|-|[0-9a-f]{1,128})$/)),
  limit: optional(integer(1, largestPage)),
};
const next = optional(text(0, 128));
export const selector = record({ id: optional(keyId), label: optional(text()), usage: optional(usage), ...page });
const objectReport = record({
  id: matching(/^[0-9a-f]{0,128}$/),
  kind: oneOf(['private', 'public', 'secret']),
  label: text(),
  isToken: boolean,
  algorithm: optional(algorithm),
  usage: optional(usage),
  spki: optional(base64),
  digest: optional(text()),
  faults: listOf(text()),
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
    countedList(reader, () => ({ spki: reader.bytes(), algorithm: valueAt(transportAlgorithmNames, reader.u8()) })),
};
export const transfers: Codec<readonly KeyTransfer[]> = {
  write: (writer, value) => {
    writer.u8(value.length);
    for (const { transport, wrapped } of value) writer.bytes(transport).bytes(wrapped);
  },
  read: (reader) => countedList(reader, () => ({ transport: reader.ownBytes(), wrapped: reader.ownBytes() })),
};

export const newKeyCodec = jsonCodec(newKey, 'ERR_HSM_ARGUMENT_INVALID');

function describe(wire: ShapeOf<typeof keyDescription>): KeyDescription {
  const { spki, ...rest } = wire;
  return spki === undefined ? rest : { ...rest, spki: Buffer.from(spki, 'base64') };
}

/** Keys cross the wire as JSON, their SubjectPublicKeyInfo in base64. */
export const key: Codec<KeyDescription> = {
  write: (writer, value) => void writer.json({ ...value, spki: value.spki?.toString('base64') }),
  read: (reader) => describe(jsonCodec(keyDescription).read(reader)),
};
const keyPage = jsonCodec(record({ keys: listOf(keyDescription), next }));
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
  record({ id: optional(keyId), spki: optional(base64), ...page }),
  'ERR_HSM_ARGUMENT_INVALID',
);
const objectPage = jsonCodec(record({ objects: listOf(objectReport), next }));
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
