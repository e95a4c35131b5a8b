import { readFileSync } from 'node:fs';
import { type Document, isMap, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';

/** A configuration needs few; each alias would multiply what a few lines make. */
const maximumAliases = 100;
const maximumCharacters = 1024 * 1024;

/** What is wrong with a configuration, each as `file:line:column: path: what it wants`, in the order of the file. */
export class ConfigurationFaults extends Error {
  override readonly name = 'ConfigurationFaults';

  constructor(
    readonly faults: readonly string[],
    options?: { readonly cause?: unknown },
  ) {
    super(faults.join('\n'), options);
  }
}

/** One fault, and which field it is about. */
export interface FieldFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A configuration in YAML whose faults are told by line and column. Values are quoted in none: they may be secret. */
export class ConfigurationFile {
  /** @throws {ConfigurationFaults} when it cannot be read, or is no YAML */
  static read(file: string): ConfigurationFile {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new ConfigurationFaults([`${file}: want a readable YAML file, got ${(cause as Error).message}`], { cause });
    }
    return ConfigurationFile.parse(text, file);
  }

  /** @param file  how the text is called in a fault. @throws {ConfigurationFaults} when it is no YAML */
  static parse(text: string, file: string): ConfigurationFile {
    if (text.length > maximumCharacters) {
      throw new ConfigurationFaults([`${file}:1:1: want at most ${maximumCharacters} characters`]);
    }
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const parsed = new ConfigurationFile(file, document, lines);
    const faults = document.errors.map(({ pos: [offset], message }) => ({
      offset,
      message: `want YAML, got: ${message}`,
    }));
    if (faults.length > 0) throw parsed.#refusal(faults);
    return parsed;
  }

  private constructor(
    private readonly file: string,
    private readonly document: Document,
    private readonly lines: LineCounter,
  ) {}

  /** @throws {ConfigurationFaults} naming all faults together */
  check<Schema extends z.ZodType>(schema: Schema): z.output<Schema> {
    const parsed = schema.safeParse(this.#plain());
    if (parsed.success) return parsed.data;
    throw this.refuse(parsed.error.issues.flatMap(nearest));
  }

  /** The same for faults that no schema finds. */
  refuse(faults: readonly FieldFault[]): ConfigurationFaults {
    return this.#refusal(
      faults.map(({ path, message }) => ({
        offset: offsetOf(this.document, path),
        message: path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`,
      })),
    );
  }

  #refusal(faults: readonly { readonly offset: number; readonly message: string }[]): ConfigurationFaults {
    const listed = faults
      .toSorted((left, right) => left.offset - right.offset)
      .map(({ offset, message }) => {
        const { line, col } = this.lines.linePos(offset);
        return `${this.file}:${line}:${col}: ${message}`;
      });
    return new ConfigurationFaults([...new Set(listed)]);
  }

  #plain(): unknown {
    try {
      return this.document.toJS({ maxAliasCount: maximumAliases });
    } catch (cause) {
      throw new ConfigurationFaults([`${this.file}: want fewer aliases, got ${(cause as Error).message}`], { cause });
    }
  }
}

/** Of a choice between forms, what is wrong with the nearest one; an unknown field is named where it stands. */
function nearest(issue: z.core.$ZodIssue): FieldFault[] {
  const path = [...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: 'want a field that is known here' }));
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => ({ path, message }));
  if (issue.code !== 'invalid_union') return [{ path, message: issue.message }];
  const forms = issue.errors.map((issues) => issues.flatMap(nearest));
  const deepest = forms.reduce((best, form) => (depth(form) > depth(best) ? form : best), []);
  if (depth(deepest) > 0) return deepest.map((fault) => ({ path: [...path, ...fault.path], message: fault.message }));
  const wanted = [...new Set(forms.flat().map(({ message }) => message))];
  return [{ path, message: wanted.length > 0 ? wanted.join(', or ') : issue.message }];
}

function depth(faults: readonly FieldFault[]): number {
  return Math.max(0, ...faults.map(({ path }) => path.length));
}

/** Where a path is written; of a field that is not there, where what should have it is. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let offset = 0;
  let node: unknown = document.contents;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(key) === String(step));
      if (pair === undefined) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else {
      const items = (node as { items?: Node[] } | null)?.items;
      node = items?.[Number(step)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    }
  }
  return offset;
}
