/**
 * Length-prefixed binary frames: u32 body length ‖ body, all integers little-endian. The writer and reader below are the
 * only encoding of the agent protocol; `FrameSplitter` cuts a byte stream into bodies and refuses oversized ones.
 */
import { HsmError } from '../errors.js';

/** No request or answer is larger: a 1 MiB message is far above any CSR, CRL digest or key blob the verbs carry. */
export const maximumBodyBytes = 1 << 20;

const lengthBytes = 4;

/**
 * Builds frames one after the other in one buffer, which grows as needed. A frame beyond `maximumBodyBytes` throws
 * ERR_HSM_ARGUMENT_INVALID; `abandonFrame` then leaves those before it untouched.
 */
export class FrameWriter {
  #buffer: Buffer;
  #frameStart = 0;
  #offset = lengthBytes;

  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(lengthBytes, expectedBytes));
  }

  /** Whether no frame was ended yet. */
  get isEmpty(): boolean {
    return this.#frameStart === 0;
  }

  /** Of the ended frames. */
  get byteLength(): number {
    return this.#frameStart;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#offset = this.#buffer.writeUInt8(value, this.#offset);
    return this;
  }

  u32(value: number): this {
    // writeUInt32LE refuses what is out of range, and silently cuts a fraction off.
    if (!Number.isInteger(value)) throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `want an integer, got ${value}`);
    this.#reserve(4);
    this.#offset = this.#buffer.writeUInt32LE(value, this.#offset);
    return this;
  }

  /** u32 byte length ‖ bytes. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#offset);
    this.#offset += value.length;
    return this;
  }

  /** u32 byte length ‖ UTF-8. */
  text(value: string): this {
    if (value === '') return this.u32(0);
    const byteLength = Buffer.byteLength(value, 'utf8');
    this.u32(byteLength);
    this.#reserve(byteLength);
    // Written in place: no second copy of a PIN is left behind in a buffer pool.
    this.#offset += this.#buffer.write(value, this.#offset, byteLength, 'utf8');
    return this;
  }

  /** A 32-digit hexadecimal id as 16 bytes. */
  id(value: string): this {
    this.#reserve(16);
    if (value.length !== 32 || this.#buffer.write(value, this.#offset, 16, 'hex') !== 16) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'key id: want 32 hexadecimal digits');
    }
    this.#offset += 16;
    return this;
  }

  json(value: unknown): this {
    return this.text(JSON.stringify(value));
  }

  /** The frame is complete; what is written next belongs to another one. */
  endFrame(): void {
    const bodyBytes = this.#offset - this.#frameStart - lengthBytes;
    assertBodyBytes(bodyBytes);
    this.#buffer.writeUInt32LE(bodyBytes, this.#frameStart);
    this.#frameStart = this.#offset;
    this.#offset += lengthBytes;
  }

  /** Takes back what was written since the last frame ended. */
  abandonFrame(): void {
    this.#zero(this.#frameStart);
    this.#offset = this.#frameStart + lengthBytes;
  }

  /** The ended frames, as a view that `clear` empties. */
  get frames(): Buffer {
    return this.#buffer.subarray(0, this.#frameStart);
  }

  /** Zeroes the frames, which may hold a data key or a PIN on its way to the token; the writer may then be used again. */
  clear(): void {
    this.#zero(0);
    this.#frameStart = 0;
    this.#offset = lengthBytes;
  }

  /** Ends a single frame and hands its bytes over; the writer must not be used again. */
  finish(): Buffer {
    this.endFrame();
    return this.frames;
  }

  #reserve(extra: number): void {
    if (this.#offset + extra <= this.#buffer.length) return;
    assertBodyBytes(this.#offset + extra - this.#frameStart - lengthBytes);
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#offset + extra));
    this.#buffer.copy(grown, 0, 0, this.#offset);
    this.#zero(0);
    this.#buffer = grown;
  }

  #zero(from: number): void {
    this.#buffer.fill(0, from, Math.min(this.#offset, this.#buffer.length));
  }
}

function assertBodyBytes(bodyBytes: number): void {
  if (bodyBytes <= maximumBodyBytes) return;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `message: want at most ${maximumBodyBytes} bytes, got ${bodyBytes}`);
}

/** Reads one body. Byte fields are views into the received chunk: copy what must outlive the call. */
export class FrameReader {
  #offset = 0;

  constructor(private readonly body: Buffer) {}

  u8(): number {
    this.#need(1);
    return this.body[this.#offset++];
  }

  u32(): number {
    this.#need(4);
    const value = this.body.readUInt32LE(this.#offset);
    this.#offset += 4;
    return value;
  }

  bytes(): Buffer {
    const length = this.u32();
    this.#need(length);
    this.#offset += length;
    return this.body.subarray(this.#offset - length, this.#offset);
  }

  /** As `bytes`, in a buffer of its own. */
  ownBytes(): Buffer {
    const length = this.u32();
    this.#need(length);
    const own = Buffer.allocUnsafe(length);
    this.body.copy(own, 0, this.#offset, this.#offset + length);
    this.#offset += length;
    return own;
  }

  text(maximumBytes = maximumBodyBytes): string {
    const length = this.u32();
    this.#need(length);
    if (length > maximumBytes) {
      throw new HsmError('ERR_HSM_PROTOCOL', `frame: want text of at most ${maximumBytes} bytes, got ${length}`);
    }
    this.#offset += length;
    return length === 0 ? '' : this.body.toString('utf8', this.#offset - length, this.#offset);
  }

  id(): string {
    this.#need(16);
    this.#offset += 16;
    return this.body.toString('hex', this.#offset - 16, this.#offset);
  }

  json(): unknown {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HsmError('ERR_HSM_PROTOCOL', 'frame: want JSON', { cause });
    }
  }

  /** Asserts that the body was read to its end. */
  end(): void {
    if (this.#offset !== this.body.length) {
      throw new HsmError('ERR_HSM_PROTOCOL', `frame: ${this.body.length - this.#offset} bytes left over`);
    }
  }

  #need(count: number): void {
    if (this.#offset + count > this.body.length) {
      throw new HsmError('ERR_HSM_PROTOCOL', `frame: want ${count} more bytes, got ${this.body.length - this.#offset}`);
    }
  }
}

/**
 * Cuts a byte stream into frame bodies. Whole frames are views into the chunk; one that spans chunks is gathered in a buffer
 * of its own, so a peer that sends byte by byte costs no more than its bytes. No buffer is ever used twice.
 */
export class FrameSplitter {
  readonly #length = Buffer.alloc(lengthBytes);
  #lengthFilled = 0;
  #body: Buffer | undefined;
  #bodyFilled = 0;

  /** @throws {HsmError} ERR_HSM_PROTOCOL when a frame announces more than `maximumBodyBytes`: end the stream then */
  push(chunk: Buffer): Buffer[] {
    const bodies: Buffer[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      const start = offset + lengthBytes;
      if (this.#lengthFilled === 0 && start <= chunk.length) {
        const end = start + announcedBytes(chunk, offset);
        if (end <= chunk.length) {
          bodies.push(chunk.subarray(start, end));
          offset = end;
          continue;
        }
      }
      offset += this.#gather(chunk, offset);
      if (this.#body !== undefined && this.#bodyFilled === this.#body.length) bodies.push(this.#take(this.#body));
    }
    return bodies;
  }

  /** Takes what the unfinished frame still needs. @returns how many bytes that was */
  #gather(chunk: Buffer, offset: number): number {
    if (this.#body === undefined) {
      const taken = chunk.copy(this.#length, this.#lengthFilled, offset);
      this.#lengthFilled += taken;
      if (this.#lengthFilled === lengthBytes) this.#body = Buffer.allocUnsafeSlow(announcedBytes(this.#length, 0));
      return taken;
    }
    const taken = chunk.copy(this.#body, this.#bodyFilled, offset);
    this.#bodyFilled += taken;
    return taken;
  }

  #take(body: Buffer): Buffer {
    this.#lengthFilled = 0;
    this.#body = undefined;
    this.#bodyFilled = 0;
    return body;
  }
}

function announcedBytes(buffer: Buffer, offset: number): number {
  const bodyBytes = buffer.readUInt32LE(offset);
  if (bodyBytes <= maximumBodyBytes) return bodyBytes;
  throw new HsmError('ERR_HSM_PROTOCOL', `frame: want at most ${maximumBodyBytes} bytes, got ${bodyBytes}`);
}
