import type { DerNode } from '../der/der-reader.js';
import {
  attributeNames,
  nameAttributes,
  readDirectoryString,
  readDistinguishedName,
  type SubjectAttributes,
} from './distinguished-name.js';

/** Two names that are the same one, whatever their case and their spaces (RFC 5280 §7.1), are the same text. */
export function foldedName(subject: SubjectAttributes): string {
  return attributeNames
    .filter((name) => subject[name] !== undefined)
    .map((name) => folded(nameAttributes[name].oid, subject[name]))
    .join('\n');
}

/** The same of a Name that is written. */
export function foldedNameOf(name: DerNode): string {
  return (readDistinguishedName(name) ?? [])
    .map(({ type, value }) => folded(type, readDirectoryString(value)))
    .join('\n');
}

function folded(type: string, value = ''): string {
  return `${type}=${value.normalize('NFKC').toLowerCase().trim().replaceAll(/\s+/g, ' ')}`;
}
