import fc from 'fast-check';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { ecdsaSignatureFormats, signatureSchemeNames } from '../algorithm/signature-scheme.js';
import { transportAlgorithmNames, wrappingAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { HsmError, hsmErrorCodes } from '../errors.js';
import { type KeyId, keyUsages } from '../key/key.js';
import { FrameSplitter, FrameWriter } from './frame.js';
import { AnswerReader, decodeRequest, writeAnswer, writeError, writeRequest } from './message.js';
import {
  type Answer,
  policyOperations,
  type Request,
  type RequestHeader,
  signatureInputs,
  type Verb,
  verbFacts,
} from './protocol.js';
import { trafficClasses } from './traffic-class.js';
import { toPage } from './message-parts.js';

const bytes = fc.uint8Array({ maxLength: 100 }).map((each) => Buffer.from(each));
const keyId = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((each) => Buffer.from(each).toString('hex') as KeyId);
const label = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const algorithm = fc.constantFrom(...keyAlgorithmNames);
const usage = fc.constantFrom(...keyUsages);
const wrapping = fc.constantFrom(...wrappingAlgorithmNames);
const key = fc.record({ id: keyId, label, algorithm, usage, extractable: fc.boolean() });
const description = fc.record({
  id: keyId,
  label,
  algorithm,
  usage,
  extractable: fc.boolean(),
  spki: bytes.filter((each) => each.length > 0),
});
const report = fc.record(
  {
    id: fc.constantFrom('', '00ff', 'ab'.repeat(16)),
    kind: fc.constantFrom('private' as const, 'public' as const, 'secret' as const),
    label: fc.string(),
    isToken: fc.boolean(),
    algorithm,
    usage,
    spki: bytes.filter((each) => each.length > 0),
    digest: fc.string(),
    faults: fc.array(fc.string()),
  },
  { requiredKeys: ['id', 'kind', 'label', 'isToken', 'faults'] },
);
const maybe = fc.option(
  bytes.filter((each) => each.length > 0),
  { nil: undefined },
);
const optional = { requiredKeys: [] };

const settings = fc.record(
  {
    module: fc.string(),
    token: fc.oneof(fc.record({ label: fc.string() }), fc.record({ serial: fc.string() })),
    pin: fc.oneof(
      fc.record({ file: fc.string() }),
      fc.record({ command: fc.array(fc.string(), { minLength: 1 }) }),
      fc.record({ value: fc.string() }),
    ),
    sessions: fc.integer({ min: 1, max: 256 }),
    vendor: fc.constantFrom('auto' as const, 'softhsm' as const, 'cloudhsm' as const, 'generic' as const),
    stateDirectory: fc.string(),
    audit: fc.record({
      directory: fc.string({ minLength: 1 }),
      member: fc.constantFrom('hsm-a', 'member.1'),
      maximumSegmentBytes: fc.integer({ min: 4_096, max: 1 << 30 }),
      issuerKeys: fc.array(fc.string({ minLength: 1 })).filter(([first]) => first?.startsWith('!') !== true),
      folded: fc.array(fc.record({ label: fc.string({ minLength: 1 }), operations: fc.constant(['sign' as const]) })),
      foldSeconds: fc.integer({ min: 1, max: 86_400 }),
      onFailure: fc.record({ use: fc.constantFrom('refuse' as const, 'count' as const) }),
    }),
    policy: fc.array(
      fc.record({
        label: fc.string(),
        operations: fc.array(fc.constantFrom(...policyOperations)),
        mechanisms: fc.array(fc.string()),
      }),
    ),
  },
  { requiredKeys: ['module', 'token', 'pin', 'sessions', 'vendor', 'stateDirectory'] },
);

const recipients = fc.array(fc.record({ spki: bytes, algorithm: fc.constantFrom(...transportAlgorithmNames) }), {
  maxLength: 4,
});
const transfers = fc.array(fc.record({ transport: bytes, wrapped: bytes }), { maxLength: 4 });

const requests: { readonly [V in Verb]: fc.Arbitrary<Request<V>> } = {
  hello: fc.record({ version: fc.nat(), client: label, settings }, { requiredKeys: ['version', 'client'] }),
  ping: fc.constant({}),
  cancel: fc.record({ requestId: fc.nat(2 ** 32 - 1) }),
  sign: fc.record({
    keyId,
    scheme: fc.constantFrom(...signatureSchemeNames),
    input: fc.constantFrom(...signatureInputs),
    format: fc.constantFrom(...ecdsaSignatureFormats),
    verify: fc.boolean(),
    data: bytes,
  }),
  encrypt: fc.record({ keyId, aad: bytes, data: bytes }),
  decrypt: fc.record({ keyId, aad: bytes, envelope: bytes }),
  mac: fc.record({ keyId, data: bytes }),
  random: fc.record({ byteLength: fc.nat(2 ** 32 - 1) }),
  generateKey: key,
  findKeys: fc.record({ id: keyId, label, usage, after: keyId, limit: fc.integer({ min: 1, max: 256 }) }, optional),
  inspectObjects: fc.record(
    { id: keyId, spki: bytes, after: fc.constantFrom('', '-', '00ff'), limit: fc.constant(1) },
    optional,
  ),
  checkKey: fc.record({ keyId, checkValue: maybe }),
  destroyKey: fc.record({ keyId, spki: maybe }),
  wrapKey: fc.record({ keyId, wrappingKeyId: keyId, algorithm: wrapping }),
  unwrapKey: fc.record({
    unwrappingKeyId: keyId,
    algorithm: wrapping,
    key,
    spki: maybe,
    wrapped: bytes,
  }),
  exportKey: fc.record({ keyId, recipients }),
  importKey: fc.record({
    unwrappingKeyId: keyId,
    algorithm: fc.constantFrom(...transportAlgorithmNames),
    key,
    spki: maybe,
    checkValue: maybe,
    transport: bytes,
    wrapped: bytes,
  }),
  transferKey: fc.record({
    unwrappingKeyId: keyId,
    algorithm: fc.constantFrom(...transportAlgorithmNames),
    key,
    transport: bytes,
    wrapped: bytes,
    recipients,
  }),
};

const answers: { readonly [V in Verb]: fc.Arbitrary<Answer<V>> } = {
  hello: fc.record({
    label: fc.string(),
    serial: fc.string(),
    manufacturer: fc.string(),
    model: fc.string(),
    vendor: fc.string(),
    mechanisms: fc.array(fc.string()),
    pinWarnings: fc.array(fc.string()),
  }),
  ping: fc.constant({}),
  cancel: fc.constant({}),
  sign: fc.record({ signature: bytes }),
  encrypt: fc.record({ envelope: bytes }),
  decrypt: fc.record({ data: bytes }),
  mac: fc.record({ mac: bytes }),
  random: fc.record({ data: bytes }),
  generateKey: description,
  findKeys: fc
    .tuple(fc.array(description, { maxLength: 4 }), fc.option(keyId, { nil: undefined }))
    .map(([keys, next]) => toPage(keys, next)),
  inspectObjects: fc.record(
    { objects: fc.array(report, { maxLength: 4 }), next: keyId },
    { requiredKeys: ['objects'] },
  ),
  checkKey: fc.record({ checkValue: maybe, matches: fc.boolean() }),
  destroyKey: fc.record({ destroyedObjects: fc.nat(2 ** 32 - 1) }),
  wrapKey: fc.record({ wrapped: bytes }),
  unwrapKey: description,
  exportKey: fc.record({ checkValue: maybe, transfers }),
  importKey: description,
  transferKey: fc.record({ transfers }),
};

const verbs = Object.keys(verbFacts) as Verb[];
const anyRequest = fc
  .constantFrom(...verbs)
  .chain((verb) => (requests[verb] as fc.Arbitrary<Request<Verb>>).map((request) => ({ verb, request })));
const anyAnswer = fc
  .constantFrom(...verbs)
  .chain((verb) => (answers[verb] as fc.Arbitrary<Answer<Verb>>).map((answer) => ({ verb, answer })));

function body(frame: Buffer): Buffer {
  return [...new FrameSplitter().push(frame)][0];
}
function written(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter();
  write(writer);
  return body(writer.frames);
}
const encode = <V extends Verb>(header: RequestHeader<V>, request: Request<V>) =>
  written((writer) => writeRequest(writer, header, request));
const encodeAnswer = <V extends Verb>(verb: V, requestId: number, answer: Answer<V>) =>
  written((writer) => writeAnswer(writer, verb, requestId, answer));
const encodeError = (requestId: number, error: HsmError) => written((writer) => writeError(writer, requestId, error));
const header = <V extends Verb>(verb: V): RequestHeader<V> => ({
  verb,
  requestId: 7,
  remainingMilliseconds: 5_000,
  attempt: 1,
  trafficClass: 'data',
  correlationId: '',
});

/** Truncated, extended, or with bytes changed. */
const damage = fc.record({
  cut: fc.option(fc.nat(300)),
  tail: bytes,
  changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
});
function damaged(
  sound: Buffer,
  { cut, tail, changes }: { cut: number | null; tail: Buffer; changes: [number, number][] },
): Buffer {
  const result = Buffer.concat([sound.subarray(0, cut ?? sound.length), tail]);
  for (const [place, value] of changes) if (result.length > 0) result[place % result.length] = value;
  return result;
}

/** What a hostile or broken peer may bring about: these errors and no other. */
function decodes(decode: () => unknown, ...codes: string[]): void {
  try {
    decode();
  } catch (error) {
    expect(error).toBeInstanceOf(HsmError);
    expect(codes).toContain((error as HsmError).code);
    expect((error as HsmError).message.length).toBeLessThan(2_000);
  }
}

describe('messages of the agent protocol', () => {
  describe.each(verbs)('%s', (verb) => {
    it('arrives as it was asked', () => {
      const terms = fc.record({
        requestId: fc.nat(2 ** 32 - 1),
        remainingMilliseconds: fc.nat(2 ** 32 - 1),
        attempt: fc.nat(255),
        trafficClass: verb === 'hello' ? fc.constant('management' as const) : fc.constantFrom(...trafficClasses),
        correlationId: fc.string({ maxLength: 64 }),
      });
      fc.assert(
        fc.property(terms, requests[verb] as fc.Arbitrary<Request<Verb>>, (sent, request) => {
          expect(decodeRequest(encode({ verb, ...sent }, request))).toEqual({ verb, ...sent, request });
        }),
      );
    });

    it('arrives as it was answered', () => {
      fc.assert(
        fc.property(fc.nat(2 ** 32 - 1), answers[verb] as fc.Arbitrary<Answer<Verb>>, (requestId, answer) => {
          const reader = new AnswerReader(encodeAnswer(verb, requestId, answer));
          expect(reader).toMatchObject({ requestId, failed: false });
          expect(reader.answer(verb)).toEqual(answer);
        }),
      );
    });
  });

  it('has the header of hello as it was before there were classes of traffic', () => {
    const { version, client } = { version: 3, client: 'ca' };
    const bytesOf = encode(
      { ...header('hello'), trafficClass: 'management', correlationId: 'abc' },
      { version, client },
    );
    // u8 verb ‖ u32 request id ‖ u32 remaining milliseconds ‖ u8 attempt ‖ text correlation id
    expect(bytesOf.subarray(0, 17).toString('hex')).toBe('00' + '07000000' + '88130000' + '01' + '03000000' + '616263');
    expect(decodeRequest(bytesOf).request).toEqual({ version, client });
  });

  it('gives every verb a number of its own', () => {
    expect(new Set(verbs.map((verb) => verbFacts[verb].number)).size).toBe(verbs.length);
  });

  it('carries errors whole, adding the member', () => {
    const errors = fc.record({
      code: fc.constantFrom(...hsmErrorCodes),
      message: fc.string(),
      details: fc.record({ returnValue: fc.string(), pkcs11Function: fc.string(), retryable: fc.boolean() }, optional),
    });
    fc.assert(
      fc.property(errors, ({ code, message, details }) => {
        const sent = new HsmError(code, message, details);
        const reader = new AnswerReader(encodeError(3, sent));
        expect(reader).toMatchObject({ requestId: 3, failed: true });
        const { fault, retryable, returnValue, pkcs11Function } = sent;
        expect(reader.error('ca')).toMatchObject({
          code,
          message,
          fault,
          retryable,
          returnValue,
          pkcs11Function,
          member: 'ca',
        });
      }),
    );
  });

  it('gives answers in bytes of their own', () => {
    const frame = encodeAnswer('decrypt', 1, { data: Buffer.from('a data key') });
    const { data } = new AnswerReader(frame).answer('decrypt');
    frame.fill(0);
    expect(data.toString()).toBe('a data key');
  });

  it('turns noise into ERR_HSM_PROTOCOL, read as a request or as an answer', () => {
    fc.assert(
      fc.property(bytes, fc.constantFrom(...verbs), (noise, verb) => {
        decodes(() => decodeRequest(noise), 'ERR_HSM_PROTOCOL', 'ERR_HSM_ARGUMENT_INVALID');
        decodes(() => new AnswerReader(noise).answer(verb), 'ERR_HSM_PROTOCOL');
        decodes(() => new AnswerReader(noise).error('ca'), 'ERR_HSM_PROTOCOL');
      }),
      { numRuns: 500 },
    );
  });

  it('turns damaged requests into ERR_HSM_PROTOCOL, or for key arguments ERR_HSM_ARGUMENT_INVALID', () => {
    fc.assert(
      fc.property(anyRequest, damage, ({ verb, request }, how) => {
        const isAboutKeys = [
          'generateKey',
          'findKeys',
          'inspectObjects',
          'unwrapKey',
          'importKey',
          'transferKey',
        ].includes(verb);
        const bytesOf = encode(header(verb), request);
        // The verb stays, else the damage is to another request.
        const received = damaged(bytesOf, how);
        received[0] = bytesOf[0];
        decodes(
          () => decodeRequest(received),
          'ERR_HSM_PROTOCOL',
          ...(isAboutKeys ? ['ERR_HSM_ARGUMENT_INVALID'] : []),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  it('turns damaged answers into ERR_HSM_PROTOCOL', () => {
    fc.assert(
      fc.property(anyAnswer, damage, ({ verb, answer }, how) => {
        const received = damaged(encodeAnswer(verb, 1, answer), how);
        decodes(() => new AnswerReader(received).answer(verb), 'ERR_HSM_PROTOCOL');
        decodes(() => new AnswerReader(received).error('ca'), 'ERR_HSM_PROTOCOL');
      }),
      { numRuns: 1_000 },
    );
  });

  it('says little about a message with a great many faults', () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`fault${index}`, index]));
    const frame = new FrameWriter().u8(verbFacts.findKeys.number).u32(1).u32(1).u8(1).u8(0).text('');
    const message = frame.json(many).finish();
    decodes(() => decodeRequest(body(message)), 'ERR_HSM_ARGUMENT_INVALID');
    expect(() => decodeRequest(body(message))).toThrow(HsmError);
  });

  it('refuses a correlation id longer than an audit line has room for', () => {
    const request = encode({ ...header('ping'), correlationId: 'é'.repeat(33) }, {});
    expect(() => decodeRequest(request)).toThrow(/at most 64 bytes, got 66/);
  });

  it.each([
    ['a scheme that is none', { scheme: 'md5' }],
    ['an input that is none', { input: 'hash' }],
    ['a format that is none', { format: 'raw' }],
    ['a key id that is none', { keyId: 'ca-root' }],
    ['too much data', { data: Buffer.alloc(2 ** 20) }],
  ])('refuses to send %s, and what was written before stays', (_, wrong) => {
    const sound = {
      keyId: 'f'.repeat(32) as KeyId,
      scheme: 'ed25519',
      input: 'message',
      format: 'der',
      verify: true,
      data: Buffer.alloc(1),
    };
    const writer = new FrameWriter();
    writeRequest(writer, header('ping'), {});
    const before = Buffer.from(writer.frames);
    const request = { ...sound, ...wrong } as Request<'sign'>;
    expect(() => writeRequest(writer, header('sign'), request)).toThrow(
      expect.objectContaining({ code: 'ERR_HSM_ARGUMENT_INVALID' }) as Error,
    );
    expect(writer.frames).toEqual(before);
  });
});
