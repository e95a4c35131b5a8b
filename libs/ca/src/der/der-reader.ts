import { tags } from './der-writer.js';

/** One decoded value: views into the input, nothing copied. */
export interface DerNode {
  readonly tag: number;
  /** Identifier, length and content octets. */
  readonly raw: Buffer;
  readonly content: Buffer;
  /** Values inside a constructed one; empty for a primitive one. */
  readonly children: readonly DerNode[];
}

/** The input is not DER, or exceeds a bound. The caller says whose fault that is. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/** Deepest nesting accepted. A certification request needs 8, a certificate 7. */
export const maximumDepth = 16;
/** Most values accepted in one input, which bounds the work a small hostile input can cause. */
const maximumNodes = 8192;

/** Longest OBJECT IDENTIFIER accepted; the longest the CA knows has 11 octets. */
const maximumOidOctets = 64;

/**
 * Decodes exactly one value, strictly: definite minimal lengths, low tag numbers, canonical BOOLEAN, INTEGER, NULL, BIT STRING
 * and OBJECT IDENTIFIER (X.690 §8, §10, §11), universal types primitive or constructed as DER wants, nothing behind the end.
 * @throws {DerError} naming the octet
 */
export function parseDer(input: Buffer): DerNode {
  const budget = { nodes: maximumNodes };
  const value = readNode(input, 0, input.length, maximumDepth, budget);
  if (value.end !== input.length) fail(value.end, `want the end, got ${input.length - value.end} more octets`);
  return value;
}

/**
 * The values one after another in some content, none of them looked into: for lists too long to decode at once.
 * @throws {DerError} naming the octet
 */
export function* derElements(content: Buffer): Generator<Omit<DerNode, 'children'>> {
  for (let at = 0; at < content.length;) {
    const { contentStart, end } = readHeader(content, at, content.length);
    yield new Value(content, at, contentStart, end, []);
    at = end;
  }
}

/** Its two views are made when they are first asked for: of most values nobody asks for either, and they cost more than the rest. */
class Value implements DerNode {
  readonly tag: number;
  #raw: Buffer | undefined;
  #content: Buffer | undefined;

  constructor(
    private readonly input: Buffer,
    private readonly start: number,
    private readonly contentStart: number,
    readonly end: number,
    readonly children: readonly DerNode[],
  ) {
    this.tag = input[start];
  }

  get raw(): Buffer {
    return (this.#raw ??= this.input.subarray(this.start, this.end));
  }

  get content(): Buffer {
    return (this.#content ??= this.input.subarray(this.contentStart, this.end));
  }
}

/** Of the value that starts there; nothing behind `limit` is its own. */
function readHeader(input: Buffer, start: number, limit: number): { contentStart: number; end: number } {
  if (limit - start < 2) fail(start, 'want a tag and a length, got the end');
  if ((input[start] & 0x1f) === 0x1f) fail(start, 'want a tag number below 31');
  const { contentStart, length } = readLength(input, start + 1, limit);
  const end = contentStart + length;
  if (end > limit) fail(start, `want ${length} content octets, got ${limit - contentStart}`);
  return { contentStart, end };
}

function readNode(input: Buffer, start: number, limit: number, depth: number, budget: { nodes: number }): Value {
  budget.nodes -= 1;
  if (budget.nodes < 0) fail(start, `want at most ${maximumNodes} values`);
  if (depth === 0) fail(start, `want nesting of at most ${maximumDepth}`);
  const { contentStart, end } = readHeader(input, start, limit);
  const children: Value[] = [];
  if ((input[start] & 0x20) !== 0) {
    for (let at = contentStart; at < end;) {
      const child = readNode(input, at, end, depth - 1, budget);
      children.push(child);
      at = child.end;
    }
  }
  const fault = faultOf(input[start], input, contentStart, end);
  if (fault !== undefined) fail(start, fault);
  return new Value(input, start, contentStart, end, children);
}

function readLength(input: Buffer, at: number, end: number): { contentStart: number; length: number } {
  const first = input[at];
  if (first < 0x80) return { contentStart: at + 1, length: first };
  const octets = first & 0x7f;
  if (octets === 0 || octets > 4) fail(at, `want a definite length of at most 4 octets, got ${octets}`);
  if (at + 1 + octets > end) fail(at, 'want a length, got the end');
  const length = input.readUIntBE(at + 1, octets);
  if (length < 0x80 || input[at + 1] === 0) fail(at, 'want the shortest form of the length');
  return { contentStart: at + 1 + octets, length };
}

/** What is wrong with a universal value's own octets. */
function faultOf(tag: number, input: Buffer, start: number, end: number): string | undefined {
  if (tag >= 0x40) return undefined;
  const isContainer = (tag & 0x1f) === 0x10 || (tag & 0x1f) === 0x11;
  if (isContainer !== ((tag & 0x20) !== 0)) return 'want SEQUENCE and SET constructed, everything else primitive';
  switch (tag) {
    case 0x00:
      return 'want a value, got end-of-contents';
    case tags.boolean:
      return end - start === 1 && (input[start] === 0 || input[start] === 0xff) ? undefined : 'want BOOLEAN 00 or FF';
    case tags.integer:
      return isMinimalInteger(input, start, end) ? undefined : 'want the shortest form of the INTEGER';
    case tags.null:
      return end === start ? undefined : 'want an empty NULL';
    case tags.bitString:
      return isPaddedWithZeros(input, start, end)
        ? undefined
        : 'want a BIT STRING whose unused bits are at most 7 and zero';
    case tags.oid:
      return isCanonicalOid(input, start, end) ? undefined : 'want a complete OBJECT IDENTIFIER in the shortest form';
    default:
      return undefined;
  }
}

function isMinimalInteger(input: Buffer, start: number, end: number): boolean {
  if (end === start) return false;
  if (end - start === 1) return true;
  const [first, second] = [input[start], input[start + 1]];
  return !(first === 0 && second < 0x80) && !(first === 0xff && second >= 0x80);
}

function isPaddedWithZeros(input: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0) return false;
  const unused = input[start];
  if (unused > 7 || (length === 1 && unused !== 0)) return false;
  return (input[end - 1] & ((1 << unused) - 1)) === 0 || length === 1;
}

function isCanonicalOid(input: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0 || length > maximumOidOctets || input[end - 1] >= 0x80) return false;
  // No arc begins with an octet of no digits.
  for (let at = start; at < end; at += 1)
    if (input[at] === 0x80 && (at === start || input[at - 1] < 0x80)) return false;
  return true;
}

function fail(at: number, what: string): never {
  throw new DerError(`DER at octet ${at}: ${what}`);
}
