import type { AuditRecord } from '@nest-hsm/hsm';

/** What kinds of records have in common, as far as they have it. */
export interface ToldFields {
  readonly client?: string;
  readonly operation?: string;
  readonly key?: { readonly id: string; readonly label?: string };
  readonly mechanism?: string;
  readonly digest?: string;
  readonly result?: string;
  readonly returnValue?: string;
  /** By result, of an interval. */
  readonly counts?: Readonly<Record<string, number>>;
  readonly correlationId?: string;
  readonly attempt?: number;
}

/** @returns nothing of what a record has beside the fields of its kind: those were not looked at */
export function toldBy(record: AuditRecord): ToldFields {
  switch (record.kind) {
    case 'intent':
    case 'result': {
      const { client, operation, key, mechanism, digest, correlationId, attempt } = record;
      const told = { client, operation, key, mechanism, digest, correlationId, attempt };
      return record.kind === 'intent' ? told : { ...told, result: record.result, returnValue: record.returnValue };
    }
    case 'folded-open':
    case 'folded': {
      const { client, operation, key, mechanism } = record;
      const told = { client, operation, key, mechanism };
      return record.kind === 'folded' ? { ...told, counts: record.counts } : told;
    }
    case 'opened':
      return { client: record.client, operation: 'open', result: record.result };
    case 'segment':
    case 'gap':
    case 'closed':
      return {};
  }
}
