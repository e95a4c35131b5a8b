/** Field lines of a message by name in lower case, each with its values in order (RFC 9110 §5). */
export type Fields = Map<string, string[]>;

/** @param raw  names and values in turn, as Node.js gives them; pseudo-fields of HTTP/2 are left out */
export function fieldsOf(raw: readonly string[]): Fields {
  const fields: Fields = new Map();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index].toLowerCase();
    if (name.startsWith(':')) continue;
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [raw[index + 1]]);
    else values.push(raw[index + 1]);
  }
  return fields;
}

/** For `http`, which writes a line for each value. */
export function toHeaders(fields: Fields): Record<string, string | string[]> {
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (const [name, values] of fields) headers[name] = values.length === 1 ? values[0] : values;
  return headers;
}

/** Every value of a list-based field, split at its commas (RFC 9110 §5.6.1). */
export function listOf(fields: Fields, name: string): string[] {
  const values = fields.get(name) ?? [];
  return values.flatMap((value) => value.split(',')).flatMap((value) => value.trim().toLowerCase() || []);
}

const connectionFields = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
];
/** Not for the sender of a Connection field to take away: they say whom the message is for and where it ends. */
const neverNominated = new Set(['host', 'content-length']);

/** Removes what concerns one connection only: by name, and what Connection names (RFC 9110 §7.6.1). */
export function removeConnectionFields(fields: Fields): void {
  for (const name of listOf(fields, 'connection')) if (!neverNominated.has(name)) fields.delete(name);
  for (const name of connectionFields) fields.delete(name);
}

/** What a trailer section may not say: it comes too late, or is not the sender's to say (RFC 9110 §6.5.1). */
const notInTrailers = new Set([
  ...connectionFields,
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'host',
  'set-cookie',
  'trailer',
]);

/** One for each name, in all its values. @param isGuarded  names that are ours to write */
export function trailersOf(
  raw: readonly string[],
  isGuarded: (name: string) => boolean = () => false,
): [string, string][] {
  const trailers: [string, string][] = [];
  for (const [name, values] of fieldsOf(raw)) {
    if (!notInTrailers.has(name) && !isGuarded(name)) trailers.push([name, values.join(', ')]);
  }
  return trailers;
}
