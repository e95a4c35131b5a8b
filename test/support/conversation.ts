import type { Duplex } from 'node:stream';
import { FrameSplitter, FrameWriter } from '../../libs/hsm/src/agent/frame.js';
import { AnswerReader, writeRequest } from '../../libs/hsm/src/agent/message.js';
import type { Answer, Request, RequestHeader, Verb } from '../../libs/hsm/src/agent/protocol.js';

/** The agent protocol on a stream, with nothing that would keep a test from misusing it. */
export class Conversation {
  readonly #waiting = new Map<number, { answered(reader: AnswerReader): void; lost(error: Error): void }>();
  #requestId = 0;

  constructor(readonly stream: Duplex) {
    const splitter = new FrameSplitter();
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      for (const body of splitter.push(chunk)) {
        const reader = new AnswerReader(Buffer.from(body));
        this.#waiting.get(reader.requestId)?.answered(reader);
        this.#waiting.delete(reader.requestId);
      }
    });
    stream.on('close', () => {
      for (const waiting of this.#waiting.values()) waiting.lost(new Error('the agent closed the stream'));
    });
  }

  /** @throws the agent's error */
  call<V extends Verb>(verb: V, request: Request<V>, header: Partial<RequestHeader> = {}): Promise<Answer<V>> {
    return this.send(verb, request, header).answer;
  }

  send<V extends Verb>(
    verb: V,
    request: Request<V>,
    header: Partial<RequestHeader> = {},
  ): { requestId: number; answer: Promise<Answer<V>> } {
    const requestId = ++this.#requestId;
    const answer = new Promise<Answer<V>>((resolve, lost: (error: Error) => void) => {
      const answered = (reader: AnswerReader): void => {
        if (reader.failed) lost(reader.error('test'));
        else resolve(reader.answer(verb));
      };
      this.#waiting.set(requestId, { answered, lost });
    });
    const writer = new FrameWriter();
    const usual = { remainingMilliseconds: 60_000, attempt: 1, trafficClass: 'management', correlationId: '' } as const;
    writeRequest(writer, { ...usual, ...header, verb, requestId }, request);
    this.stream.write(writer.frames);
    return { requestId, answer };
  }
}
