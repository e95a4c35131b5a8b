import { createHash } from 'node:crypto';
import { z } from 'zod';
import { CaError } from '../errors.js';

const hexadecimal = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const base64 = z.base64().max(65_536);
const text = z.string().max(4_096);
/** Of a CA, as the configuration has it: files are called by it. */
const name = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/);

const place = {
  /** From 1, without holes. */
  seq: z.int().min(1),
  /** SHA-256 of the previous line without its newline; 64 zeros for the first. */
  prev: hexadecimal(64),
  /** RFC 3339, UTC. */
  time: z.iso.datetime(),
  /** Of the root key over the line without this field, DER for ECDSA; from the root's certificate on, every line has it. */
  signature: base64.optional(),
};

/** What a ceremony writes down, in the order it is done. */
const transcriptLineSchema = z.discriminatedUnion('step', [
  /** `script`: SHA-256 of the file; `authority`: what it says of the CAs. */
  z.strictObject({
    ...place,
    step: z.literal('begin'),
    title: text,
    witnesses: z.array(text).max(64),
    script: hexadecimal(64),
    authority: z.json(),
  }),
  /** A key is about to be made: what has the label afterwards was made by this ceremony. */
  z.strictObject({ ...place, step: z.literal('intent'), ca: name, label: text, algorithm: text }),
  z.strictObject({
    ...place,
    step: z.literal('key'),
    ca: name,
    label: text,
    algorithm: text,
    uri: text,
    /** DER SubjectPublicKeyInfo. */
    publicKey: base64,
  }),
  z.strictObject({ ...place, step: z.literal('certificate'), ca: name, parent: name.optional(), certificate: base64 }),
  z.strictObject({ ...place, step: z.literal('end') }),
]);

export type TranscriptLine = z.output<typeof transcriptLineSchema>;
type WithoutPlace<Line> = Line extends TranscriptLine ? Omit<Line, keyof typeof place> : never;
/** A line before it has its place. */
export type TranscriptStep = WithoutPlace<TranscriptLine>;

/** A line as it stands in the file, without its newline. */
export interface WrittenLine {
  readonly line: TranscriptLine;
  readonly octets: Buffer;
}

/** A ceremony of hundreds of CAs stays far below. */
export const maximumTranscriptBytes = 16 * 1024 * 1024;

/**
 * The lines of a transcript: each one canonical, in its place, and following the one before.
 * @throws {CaError} ERR_CA_TRANSCRIPT_INVALID naming the line
 */
export function parseTranscript(file: Buffer): WrittenLine[] {
  if (file.length > maximumTranscriptBytes)
    invalid(0, `want at most ${maximumTranscriptBytes} octets, got ${file.length}`);
  const lines = file.toString('utf8').split('\n');
  if (lines.pop() !== '') invalid(lines.length + 1, 'want a newline at its end, got none');
  const written: WrittenLine[] = [];
  for (const [index, text] of lines.entries()) {
    const seq = index + 1;
    const line = parseLine(text, seq);
    const prev = hashOf(written.at(-1));
    if (line.seq !== seq) invalid(seq, `want seq ${seq}, got ${line.seq}`);
    if (line.prev !== prev) invalid(seq, `want prev ${prev}, got ${line.prev}`);
    written.push({ line, octets: Buffer.from(text) });
  }
  return written;
}

function parseLine(text: string, seq: number): TranscriptLine {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return invalid(seq, `want JSON, got ${(error as Error).message}`);
  }
  const parsed = transcriptLineSchema.safeParse(json);
  if (!parsed.success) return invalid(seq, z.prettifyError(parsed.error));
  if (canonical(parsed.data) !== text) invalid(seq, 'want canonical JSON (RFC 8785)');
  return parsed.data;
}

/** What `prev` of the next line is. */
export function hashOf(previous: WrittenLine | undefined): string {
  return previous === undefined ? '0'.repeat(64) : createHash('sha256').update(previous.octets).digest('hex');
}

/** The octets that the signature of a line is over. */
export function signedOctets({ signature: _, ...line }: TranscriptLine): Buffer {
  return Buffer.from(canonical(line));
}

/** RFC 8785, for values without fractions: members sorted by their names' UTF-16 units, no white space. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([one], [other]) => (one < other ? -1 : 1)))
      : each,
  );
}

export function invalid(seq: number, message: string): never {
  throw new CaError('ERR_CA_TRANSCRIPT_INVALID', `transcript, line ${seq}: ${message}`);
}
