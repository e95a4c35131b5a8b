/** As the addon spells it, for a name to be found whichever way it is written: in lower case, without dots at the end. */
export function plainServerName(name: string): string {
  return name.toLowerCase().replace(/\.+$/, '');
}

/** What is listed for a plain server name: for itself, or for `*.` and all but its first label (RFC 6125 §6.4.3). */
export function lookUp<Value>(byName: ReadonlyMap<string, Value>, name: string): Value | undefined {
  const dot = name.indexOf('.');
  return byName.get(name) ?? (dot < 0 ? undefined : byName.get(`*${name.slice(dot)}`));
}
