/** What is listed for a server name in lower case: for itself, or for `*.` and all but its first label (RFC 6125 §6.4.3). */
export function lookUp<Value>(byName: ReadonlyMap<string, Value>, name: string): Value | undefined {
  const dot = name.indexOf('.');
  return byName.get(name) ?? (dot < 0 ? undefined : byName.get(`*${name.slice(dot)}`));
}
