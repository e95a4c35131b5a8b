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
export const maximumNodes = 8192;

/** Longest OBJECT IDENTIFIER accepted; the longest the CA knows has 11 octets. */
const maximumOidOctets = 64;

/**
 * Decodes exactly one value, strictly: definite minimal lengths, low tag numbers, canonical BOOLEAN, INTEGER, NULL, BIT STRING
 * and OBJECT IDENTIFIER (X.690 §8, §10, §11), universal types primitive or constructed as DER wants, nothing behind the end.
 * @throws {DerError} naming the octet
 */
export function parseDer(input: Buffer): DerNode {
  const budget = { nodes: maximumNodes };
  const node = readNode(input, 0, input.length, maximumDepth, budget);
  if (node.raw.length !== input.length)
    fail(node.raw.length, `want the end, got ${input.length - node.raw.length} more octets`);
  return node;
}

/**
 * The values one after another in some content, none of them looked into: for lists too long to decode at once.
 * @throws {DerError} naming the octet
 */
export function* derElements(content: Buffer): Generator<Omit<DerNode, 'children'>> {
  for (let at = 0; at < content.length;) {
    const { tag, raw, content: inner } = readElement(content, at, content.length);
    yield { tag, raw, content: inner };
    at += raw.length;
  }
}

function readElement(input: Buffer, start: number, end: number): Omit<DerNode, 'children'> {
  if (end - start < 2) fail(start, 'want a tag and a length, got the end');
  const tag = input[start];
  if ((tag & 0x1f) === 0x1f) fail(start, 'want a tag number below 31');
  const { contentStart, length } = readLength(input, start + 1, end);
  const contentEnd = contentStart + length;
  if (contentEnd > end) fail(start, `want ${length} content octets, got ${end - contentStart}`);
  return { tag, raw: input.subarray(start, contentEnd), content: input.subarray(contentStart, contentEnd) };
}

function readNode(input: Buffer, start: number, end: number, depth: number, budget: { nodes: number }): DerNode {
  budget.nodes -= 1;
  if (budget.nodes < 0) fail(start, `want at most ${maximumNodes} values`);
  if (depth === 0) fail(start, `want nesting of at most ${maximumDepth}`);
  const { tag, raw, content } = readElement(input, start, end);
  const contentEnd = start + raw.length;
  const children: DerNode[] = [];
  if ((tag & 0x20) !== 0) {
    for (let at = contentEnd - content.length; at < contentEnd;) {
      const child = readNode(input, at, contentEnd, depth - 1, budget);
      children.push(child);
      at += child.raw.length;
    }
  }
  const node = { tag, raw, content, children };
  const fault = faultOf(node);
  if (fault !== undefined) fail(start, fault);
  return node;
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
function faultOf({ tag, content }: DerNode): string | undefined {
  if (tag >= 0x40) return undefined;
  const isContainer = (tag & 0x1f) === 0x10 || (tag & 0x1f) === 0x11;
  if (isContainer !== ((tag & 0x20) !== 0)) return 'want SEQUENCE and SET constructed, everything else primitive';
  switch (tag) {
    case 0x00:
      return 'want a value, got end-of-contents';
    case tags.boolean:
      return content.length === 1 && (content[0] === 0 || content[0] === 0xff) ? undefined : 'want BOOLEAN 00 or FF';
    case tags.integer:
      return isMinimalInteger(content) ? undefined : 'want the shortest form of the INTEGER';
    case tags.null:
      return content.length === 0 ? undefined : 'want an empty NULL';
    case tags.bitString:
      return isPaddedWithZeros(content) ? undefined : 'want a BIT STRING whose unused bits are at most 7 and zero';
    case tags.oid:
      return isCanonicalOid(content) ? undefined : 'want a complete OBJECT IDENTIFIER in the shortest form';
    default:
      return undefined;
  }
}

function isMinimalInteger(content: Buffer): boolean {
  if (content.length === 0) return false;
  if (content.length === 1) return true;
  return !(content[0] === 0 && content[1] < 0x80) && !(content[0] === 0xff && content[1] >= 0x80);
}

function isPaddedWithZeros(content: Buffer): boolean {
  const unused = content[0];
  if (content.length === 0 || unused > 7 || (content.length === 1 && unused !== 0)) return false;
  return (content[content.length - 1] & ((1 << unused) - 1)) === 0 || content.length === 1;
}

function isCanonicalOid(content: Buffer): boolean {
  if (content.length === 0 || content.length > maximumOidOctets || content[content.length - 1] >= 0x80) return false;
  return content.every((octet, index) => octet !== 0x80 || (index > 0 && content[index - 1] >= 0x80));
}

function fail(at: number, what: string): never {
  throw new DerError(`DER at octet ${at}: ${what}`);
}
