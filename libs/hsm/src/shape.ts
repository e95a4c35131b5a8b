/**
 * What JSON of another process, or of a file that a program writes, must look like. Configuration, which people write, has zod
 * and its explanations; but every token agent reads messages and records, and loading zod and building its schemas was two
 * fifths of an agent's start, which is how long calls wait for the agent that replaces a dead one.
 *
 * A shape only looks: what fits is used as it was parsed.
 */
export interface Shape<T> {
  /** @returns what is wrong, as `path: want …` and never with the value, which may be a PIN; undefined of what fits */
  (value: unknown): string | undefined;
  /** Never there: it gives the type a place. */
  readonly type?: T;
}
export type ShapeOf<S> = S extends Shape<infer T> ? T : never;

interface OptionalShape<T> extends Shape<T | undefined> {
  readonly isOptional: true;
}
type Fields = Readonly<Record<string, Shape<unknown>>>;
type OptionalNames<F> = { [Name in keyof F]: F[Name] extends OptionalShape<unknown> ? Name : never }[keyof F];
type RecordOf<F> = { [Name in Exclude<keyof F, OptionalNames<F>>]: ShapeOf<F[Name]> } & {
  [Name in OptionalNames<F>]?: ShapeOf<F[Name]>;
};

const longestNameShown = 40;

export const boolean: Shape<boolean> = (value) => (typeof value === 'boolean' ? undefined : 'want a boolean');

/** @param minimum, maximum  of its length in UTF-16 units */
export function text(minimum = -Infinity, maximum = Infinity): Shape<string> {
  const want = `want a text${bounds(minimum, maximum, ' characters')}`;
  return (value) =>
    typeof value === 'string' && value.length >= minimum && value.length <= maximum ? undefined : want;
}

/** Text of a type of its own, e.g. `KeyId`. */
export function matching<T extends string = string>(pattern: RegExp): Shape<T> {
  const want = `want a text that matches ${pattern.source}`;
  return (value) => (typeof value === 'string' && pattern.test(value) ? undefined : want);
}

/** RFC 4648 §4, padded. */
export const base64 = matching(/^(?:[0-9A-Za-z+/]{4})*(?:[0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$/);

/** RFC 3339 in UTC with milliseconds, of a day that there is. */
export const timestamp: Shape<string> = (value) => {
  const time = typeof value === 'string' && value.length === 24 ? Date.parse(value) : NaN;
  const isOne = !Number.isNaN(time) && new Date(time).toISOString() === value;
  return isOne ? undefined : 'want a time such as 2026-01-31T23:59:59.999Z';
};

export function number(minimum = -Infinity, maximum = Infinity): Shape<number> {
  const want = `want a number${bounds(minimum, maximum)}`;
  return (value) => (Number.isFinite(value) && isWithin(value as number, minimum, maximum) ? undefined : want);
}

export function integer(minimum = -Infinity, maximum = Infinity): Shape<number> {
  const want = `want a whole number${bounds(minimum, maximum)}`;
  return (value) => (Number.isSafeInteger(value) && isWithin(value as number, minimum, maximum) ? undefined : want);
}

export function oneOf<const T extends string | number>(values: readonly T[]): Shape<T> {
  const want = `want one of ${values.join(', ')}`;
  return (value) => (values.includes(value as T) ? undefined : want);
}

export function listOf<T>(item: Shape<T>, minimum = -Infinity): Shape<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length < minimum) return `want a list${bounds(minimum, Infinity)}`;
    for (const [index, each] of value.entries()) {
      const fault = item(each);
      if (fault !== undefined) return within(index, fault);
    }
    return undefined;
  };
}

/** Any names, each with such a value. */
export function dictionaryOf<T>(item: Shape<T>): Shape<Record<string, T>> {
  return (value) => {
    if (!isObject(value)) return 'want an object';
    for (const [name, each] of Object.entries(value)) {
      const fault = item(each);
      if (fault !== undefined) return within(name, fault);
    }
    return undefined;
  };
}

/** A field that may be absent. */
export function optional<T>(shape: Shape<T>): OptionalShape<T> {
  const orAbsent = (value: unknown) => (value === undefined ? undefined : shape(value));
  return Object.assign(orAbsent, { isOptional: true as const });
}

/** These fields and no other. */
export function record<F extends Fields>(fields: F): Shape<RecordOf<F>> {
  const open = openRecord(fields);
  return (value) => {
    const fault = open(value);
    if (fault !== undefined) return fault;
    const stranger = Object.keys(value as object).find((name) => !Object.hasOwn(fields, name));
    return stranger === undefined ? undefined : within(stranger, 'want no such field');
  };
}

/** These fields, and whatever a later version adds. */
export function openRecord<F extends Fields>(fields: F): Shape<RecordOf<F> & { readonly [other: string]: unknown }> {
  const entries = Object.entries(fields);
  return (value) => {
    if (!isObject(value)) return 'want an object';
    for (const [name, shape] of entries) {
      const fault = shape(Object.hasOwn(value, name) ? value[name] : undefined);
      if (fault !== undefined) return within(name, fault);
    }
    return undefined;
  };
}

export function either<S extends readonly Shape<unknown>[]>(...shapes: S): Shape<ShapeOf<S[number]>> {
  return (value) => {
    const faults = shapes.map((shape) => shape(value));
    return faults.includes(undefined) ? undefined : faults.join(', or ');
  };
}

/** Of several kinds of object, told apart by one field, what that kind wants. */
export function byKind<Name extends string, Kinds extends Readonly<Record<string, Shape<object>>>>(
  field: Name,
  kinds: Kinds,
): Shape<{ [Kind in keyof Kinds & string]: { [F in Name]: Kind } & ShapeOf<Kinds[Kind]> }[keyof Kinds & string]> {
  return (value) => {
    const kind = isObject(value) ? value[field] : undefined;
    if (typeof kind === 'string' && Object.hasOwn(kinds, kind)) return kinds[kind](value);
    return within(field, `want one of ${Object.keys(kinds).join(', ')}`);
  };
}

export function fits<T>(shape: Shape<T>, value: unknown): value is T {
  return shape(value) === undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWithin(value: number, minimum: number, maximum: number): boolean {
  return value >= minimum && value <= maximum;
}

function bounds(minimum: number, maximum: number, unit = ''): string {
  if (minimum === -Infinity && maximum === Infinity) return '';
  return maximum === Infinity ? ` of ${minimum}${unit} or more` : ` of ${minimum} to ${maximum}${unit}`;
}

function within(name: string | number, fault: string): string {
  const place = String(name).slice(0, longestNameShown);
  return fault.startsWith('want ') ? `${place}: ${fault}` : `${place}.${fault}`;
}
