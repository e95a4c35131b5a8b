/**
 * The fields of each verb as bytes. Hot verbs have binary fields; key management, which is rare, is JSON whose shape is
 * checked on arrival.
 */
import { ecdsaSignatureFormats, signatureSchemeNames } from '../algorithm/signature-scheme.js';
import { transportAlgorithmNames, wrappingAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { hsmErrorCodes } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { boolean, oneOf, optional, record, text } from '../shape.js';
import { booleans, type Codec, indexOf, jsonCodec, noBytes, nothing, someBytes, valueAt } from './codec.js';
import {
  hello,
  key,
  keys,
  newKeyCodec,
  objects,
  objectsRequest,
  recipients,
  selector,
  tokenDescription,
  transfers,
} from './message-parts.js';
import { type Answer, type Received, type Request, signatureInputs, type Verb } from './protocol.js';

export const verbCodecs: {
  readonly [V in Verb]: { readonly request: Codec<Request<V>, Received<V>>; readonly answer: Codec<Answer<V>> };
} = {
  hello: { request: jsonCodec(hello), answer: jsonCodec(tokenDescription) },
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
  record({
    code: oneOf(hsmErrorCodes),
    message: text(),
    returnValue: optional(text()),
    pkcs11Function: optional(text()),
    retryable: boolean,
  }),
);
