import { stringify } from 'csv-stringify/sync';

import type { FoundRecord } from './search.js';
import { toldBy } from './told-fields.js';

export const exportFormats = ['jsonl', 'csv'] as const;
export type ExportFormat = (typeof exportFormats)[number];

const columns = [
  'time', 'member', 'chain', 'seq', 'kind', 'client', 'operation', 'keyLabel', 'keyId', 'mechanism', 'digest', 'result',
  'returnValue', 'counts', 'correlationId', 'attempt', 'segment', 'prev',
] as const; // prettier-ignore

/**
 * The records as text for another program. `jsonl`: each record's line as it is in the trail, with its chain in front
 * (`{"chain":"MEMBER.SLOT","record":…}`). `csv`: RFC 4180 with a header; what a spreadsheet would take for a formula begins with `'`.
 */
export async function* exportRecords(
  records: AsyncIterable<FoundRecord>,
  format: ExportFormat,
): AsyncGenerator<string, void, undefined> {
  if (format === 'csv') yield csv(columns);
  for await (const found of records) yield format === 'csv' ? csv(cells(found)) : jsonLine(found);
}

function jsonLine({ chain, line }: FoundRecord): string {
  return `{"chain":${JSON.stringify(chain)},"record":${line.toString('utf8')}}\n`;
}

function cells({ chain, member, segment, record }: FoundRecord): string[] {
  const { key, counts, ...told } = toldBy(record);
  const values: Partial<Record<(typeof columns)[number], string | number>> = {
    ...told,
    time: record.time,
    member,
    chain,
    seq: record.seq,
    kind: record.kind,
    keyLabel: key?.label,
    keyId: key?.id,
    counts: counts && JSON.stringify(counts),
    segment,
    prev: record.prev,
  };
  return columns.map((column) => String(values[column] ?? ''));
}

function csv(row: readonly string[]): string {
  return stringify([row], { escape_formulas: true, record_delimiter: 'windows' });
}
