/**
 * One buffer a CRL is built in: entries go in first, what stands before them is written in front, what follows behind. Half a
 * million entries are 25 MB, of which no step makes a copy.
 */
export class CrlBuffer {
  #octets: Buffer;
  #start: number;
  #end: number;

  /** @param front  room for everything that `prepend` and `wrap` will write @param capacity  first guess at what is appended */
  constructor(front: number, capacity: number) {
    this.#octets = Buffer.allocUnsafe(front + capacity);
    this.#start = front;
    this.#end = front;
  }

  /** What has been written, as a view that the next call may invalidate. */
  get view(): Buffer {
    return this.#octets.subarray(this.#start, this.#end);
  }

  append(octets: Uint8Array): void {
    this.reserve(octets.length);
    this.#octets.set(octets, this.#end);
    this.#end += octets.length;
  }

  /** Lets a function write into the free octets behind; it returns where it ended. */
  write(maximumBytes: number, into: (octets: Buffer, at: number) => number): void {
    this.reserve(maximumBytes);
    this.#end = into(this.#octets, this.#end);
  }

  prepend(octets: Uint8Array): void {
    if (octets.length > this.#start)
      throw new RangeError(`CRL buffer: want ${octets.length} octets of room in front, got ${this.#start}`);
    this.#start -= octets.length;
    this.#octets.set(octets, this.#start);
  }

  /** Makes everything so far the content of one value. */
  wrap(tag: number): void {
    this.prepend(header(tag, this.#end - this.#start));
  }

  reserve(bytes: number): void {
    if (this.#end + bytes <= this.#octets.length) return;
    const larger = Buffer.allocUnsafe(Math.ceil(this.#octets.length * 1.25) + bytes);
    this.#octets.copy(larger, this.#start, this.#start, this.#end);
    this.#octets = larger;
  }
}

/** Identifier and length octets (X.690 §8.1.3). */
function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.of(tag, length);
  const octets = Buffer.from(length.toString(16).padStart(length > 0xffffff ? 8 : length > 0xffff ? 6 : length > 0xff ? 4 : 2, '0'), 'hex'); // prettier-ignore
  return Buffer.concat([Buffer.of(tag, 0x80 | octets.length), octets]);
}
