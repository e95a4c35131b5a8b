import { isIP } from 'node:net';

/** As the addon spells it, for a name to be found whichever way it is written: in lower case, without dots at the end. */
export function plainServerName(name: string): string {
  return name.toLowerCase().replace(/\.+$/, '');
}

/** Whether a certificate can name it: a host name as of RFC 1123 §2.1, also with `_`, or an address. */
export function isServerName(name: string): boolean {
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  return isIP(name) !== 0 || (name.length <= 253 && new RegExp(`^${label}(?:\\.${label})*\\.?$`, 'i').test(name));
}

/** Whether it can be listed for what clients name: a host name, or `*.` and one. Clients name no address (RFC 6066 §3). */
export function isListedName(name: string): boolean {
  const plain = name.replace(/^\*\./, '');
  return isIP(plain) === 0 && isServerName(plain);
}

/** What is listed for a plain server name: for itself, or for `*.` and all but its first label (RFC 6125 §6.4.3). */
export function lookUp<Value>(byName: ReadonlyMap<string, Value>, name: string): Value | undefined {
  const dot = name.indexOf('.');
  return byName.get(name) ?? (dot < 0 ? undefined : byName.get(`*${name.slice(dot)}`));
}
