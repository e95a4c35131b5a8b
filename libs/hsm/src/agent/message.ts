/**
 * Requests and answers as frames (frame.ts):
 *
 *   request = u8 verb ‖ u32 request id ‖ u32 remaining milliseconds ‖ u8 attempt ‖ u8 class ‖ text correlation id ‖ verb's fields
 *   hello   = the same without the class
 *   answer  = u8 kind ‖ u32 request id ‖ (kind = 0, result: verb's fields | kind = 1, error: JSON)
 *
 * The header of hello stays as it was in the first version that had one: whoever is of another version must be able to say so.
 */
import { HsmError } from '../errors.js';
import { FrameReader, type FrameWriter } from './frame.js';
import {
  type Answer,
  maximumCorrelationIdBytes,
  type ReceivedRequest,
  type Request,
  type RequestHeader,
  type Verb,
  verbFacts,
} from './protocol.js';
import { indexOf, valueAt } from './codec.js';
import { trafficClasses } from './traffic-class.js';
import { errorCodec, verbCodecs } from './verb-codec.js';

const resultKind = 0;
const errorKind = 1;

const verbByNumber = new Map(
  (Object.keys(verbFacts) as Verb[]).map((verb): [number, Verb] => [verbFacts[verb].number, verb]),
);

/**
 * Adds a request to the frames of a writer.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID; the writer is left as it was
 */
export function writeRequest<V extends Verb>(writer: FrameWriter, header: RequestHeader<V>, request: Request<V>): void {
  const { verb, requestId, remainingMilliseconds, attempt, trafficClass, correlationId } = header;
  try {
    writer.u8(verbFacts[verb].number).u32(requestId).u32(remainingMilliseconds).u8(attempt);
    if (verb !== 'hello') writer.u8(indexOf(trafficClasses, trafficClass));
    writer.text(correlationId);
    verbCodecs[verb].request.write(writer, request);
    writer.endFrame();
  } catch (error) {
    writer.abandonFrame();
    throw error;
  }
}

/** @throws {HsmError} ERR_HSM_PROTOCOL, or ERR_HSM_ARGUMENT_INVALID for what a caller may have got wrong */
export function decodeRequest(body: Buffer): ReceivedRequest {
  const reader = new FrameReader(body);
  const number = reader.u8();
  const verb = verbByNumber.get(number);
  if (verb === undefined) throw new HsmError('ERR_HSM_PROTOCOL', `message: no verb numbered ${number}`);
  const decoded = {
    verb,
    requestId: reader.u32(),
    remainingMilliseconds: reader.u32(),
    attempt: reader.u8(),
    trafficClass: verb === 'hello' ? 'management' : valueAt(trafficClasses, reader.u8()),
    correlationId: reader.text(maximumCorrelationIdBytes),
    request: verbCodecs[verb].request.read(reader),
  };
  reader.end();
  return decoded as ReceivedRequest;
}

/** Adds an answer to the frames of a writer. @throws {HsmError} ERR_HSM_ARGUMENT_INVALID; the writer is left as it was */
export function writeAnswer<V extends Verb>(writer: FrameWriter, verb: V, requestId: number, answer: Answer<V>): void {
  try {
    writer.u8(resultKind).u32(requestId);
    verbCodecs[verb].answer.write(writer, answer);
    writer.endFrame();
  } catch (error) {
    writer.abandonFrame();
    throw error;
  }
}

export function writeError(writer: FrameWriter, requestId: number, error: HsmError): void {
  const { code, message, returnValue, pkcs11Function, retryable } = error;
  writer.u8(errorKind).u32(requestId);
  errorCodec.write(writer, { code, message, returnValue, pkcs11Function, retryable });
  writer.endFrame();
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
    const kind = this.#reader.u8();
    if (kind > errorKind) throw new HsmError('ERR_HSM_PROTOCOL', `message: no kind numbered ${kind}`);
    this.failed = kind === errorKind;
    this.requestId = this.#reader.u32();
  }

  /** What was asked for, in bytes of its own. @throws {HsmError} ERR_HSM_PROTOCOL */
  answer<V extends Verb>(verb: V): Answer<V> {
    const answer = verbCodecs[verb].answer.read(this.#reader);
    this.#reader.end();
    return answer;
  }

  /** The agent's error, with the name of its fleet member added. @throws {HsmError} ERR_HSM_PROTOCOL */
  error(member: string): HsmError {
    const { code, message, ...details } = errorCodec.read(this.#reader);
    this.#reader.end();
    return new HsmError(code, message, { ...details, member });
  }
}
