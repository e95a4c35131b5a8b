import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AuditRecord, parseSegmentName } from '@nest-hsm/hsm';

/** A record of some kind, with whichever fields it has. */
export type AnyRecord = AuditRecord & {
  readonly [Field in 'operation' | 'result' | 'correlationId' | 'digest' | 'client']?: string;
} & { readonly key?: { readonly id: string; readonly label?: string }; readonly attempt?: number };

/** All records in an audit directory: chain by chain, in their order. */
export function auditRecords(directory: string): AnyRecord[] {
  const segments = readdirSync(directory).filter((name) => parseSegmentName(name) !== undefined);
  return segments.toSorted().flatMap((name) => linesOf(readFileSync(join(directory, name), 'utf8')));
}

function linesOf(text: string): AnyRecord[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as AnyRecord);
}
