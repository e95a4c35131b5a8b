/**
 * Length-prefixed binary frames: u32 body length ‖ body, all integers little-endian. The writer and reader below are the
 * only encoding of the agent protocol; `FrameSplitter` cuts a byte stream into bodies and refuses oversized ones.
 */
import { HsmError } from '../errors.js';

/** No request or answer is larger: a 1 MiB message is far above any CSR, CRL digest or key blob the verbs carry. */
export const maximumBodyBytes = 1 << 20;

const lengthBytes = 4;

/** Builds one frame; grows as needed. `finish()` hands the bytes over and the writer must not be used again. */
export class FrameWriter {
  #buffer: Buffer;
  #offset = lengthBytes;

  constructor(expectedBodyBytes = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(lengthBytes + expectedBodyBytes);
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#offset = this.#buffer.writeUInt8(value, this.#offset);
    return this;
  }

  u32(value: number): this {
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
    return this.bytes(Buffer.from(value, 'utf8'));
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

  finish(): Buffer {
    const bodyBytes = this.#offset - lengthBytes;
    if (bodyBytes > maximumBodyBytes) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `request: want at most ${maximumBodyBytes} bytes, got ${bodyBytes}`);
    }
    this.#buffer.writeUInt32LE(bodyBytes, 0);
    return this.#buffer.subarray(0, this.#offset);
  }

  #reserve(extra: number): void {
    if (this.#offset + extra <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#offset + extra));
    this.#buffer.copy(grown, 0, 0, this.#offset);
    // The outgrown buffer may hold a data key or a PIN on its way to the token.
    this.#buffer.fill(0);
    this.#buffer = grown;
  }
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

  text(): string {
    return this.bytes().toString('utf8');
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

/** Cuts a byte stream into frame bodies, keeping at most one incomplete frame. */
export class FrameSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws {HsmError} ERR_HSM_PROTOCOL when a frame announces more than `maximumBodyBytes`: end the stream then */
  *push(chunk: Buffer): Generator<Buffer, void, undefined> {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (data.length >= lengthBytes) {
      const bodyBytes = data.readUInt32LE(0);
      if (bodyBytes > maximumBodyBytes) {
        throw new HsmError('ERR_HSM_PROTOCOL', `frame: want at most ${maximumBodyBytes} bytes, got ${bodyBytes}`);
      }
      if (data.length < lengthBytes + bodyBytes) break;
      yield data.subarray(lengthBytes, lengthBytes + bodyBytes);
      data = data.subarray(lengthBytes + bodyBytes);
    }
    this.#rest = data.length === 0 ? data : Buffer.from(data);
  }
}
