import type { Duplex } from 'node:stream';
import type { HsmError } from '../../errors.js';
import { FrameWriter } from '../frame.js';
import { writeAnswer, writeError } from '../message.js';
import type { Answer, Verb } from '../protocol.js';

/** Room for the answers of one turn of the event loop; larger buffers are not kept. */
const expectedBytes = 16_384;
const nothing = Buffer.alloc(0);
/** What follows it is done when what happens together has happened: for a third of what process.nextTick or setImmediate costs. */
const atOnce = Promise.resolve();

/**
 * The way back: answers that become ready together leave in one write, and their buffer is zeroed once they are written.
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
    this.#flushSoon();
    writeAnswer(this.#writer, verb, requestId, answer);
  }

  error(requestId: number, error: HsmError): void {
    this.#flushSoon();
    writeError(this.#writer, requestId, error);
  }

  #flushSoon(): void {
    if (this.#writer.isEmpty) void atOnce.then(this.#flush);
  }

  readonly #flush = (): void => {
    const writer = this.#writer;
    if (writer.isEmpty || this.stream.destroyed) return;
    this.#writer = this.#spare ?? new FrameWriter(expectedBytes);
    this.#spare = undefined;
    const isRoomLeft = this.stream.write(writer.frames);
    // As a rule the kernel has them now, and there is no call back to wait for.
    if (this.stream.writableLength === 0) this.#written(writer);
    else this.stream.write(nothing, () => this.#written(writer));
    if (!isRoomLeft) this.stream.pause();
  };

  #written(writer: FrameWriter): void {
    const { byteLength } = writer;
    writer.clear();
    if (byteLength <= expectedBytes) this.#spare = writer;
  }
}
