import type { Duplex } from 'node:stream';
import type { HsmError } from '../../errors.js';
import { FrameWriter } from '../frame.js';
import { writeAnswer, writeError } from '../message.js';
import type { Answer, Verb } from '../protocol.js';

/** Room for the answers of one turn of the event loop; larger buffers are not kept. */
const expectedBytes = 16_384;

/**
 * The way back: answers of one turn of the event loop leave in one write, and their buffer is zeroed once they are written.
 * A client that does not take them is not read from either.
 */
export class AnswerBatch {
  #writer = new FrameWriter(expectedBytes);
  #spare: FrameWriter | undefined;

  constructor(private readonly stream: Duplex) {
    stream.on('drain', () => stream.resume());
  }

  /** Whether answers are still on their way out, to a client that is still there. */
  get isUnwritten(): boolean {
    return !this.stream.destroyed && (!this.#writer.isEmpty || this.stream.writableLength > 0);
  }

  result<V extends Verb>(verb: V, requestId: number, answer: Answer<V>): void {
    this.#flushLater();
    writeAnswer(this.#writer, verb, requestId, answer);
  }

  error(requestId: number, error: HsmError): void {
    this.#flushLater();
    writeError(this.#writer, requestId, error);
  }

  #flushLater(): void {
    if (this.#writer.isEmpty) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const writer = this.#writer;
    if (writer.isEmpty || this.stream.destroyed) return;
    this.#writer = this.#spare ?? new FrameWriter(expectedBytes);
    this.#spare = undefined;
    const { frames } = writer;
    const isRoomLeft = this.stream.write(frames, () => {
      writer.clear();
      if (frames.length <= expectedBytes) this.#spare = writer;
    });
    if (!isRoomLeft) this.stream.pause();
  }
}
