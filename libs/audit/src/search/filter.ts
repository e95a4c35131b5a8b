import type { AuditRecord } from '@nest-hsm/hsm';
import { AuditError } from '../errors.js';
import { toldBy, type ToldFields } from './told-fields.js';

/** Which records: every field that is present must match. */
export interface RecordFilter {
  /** RFC 3339: the first moment. */
  readonly since?: string;
  /** RFC 3339: the moment after the last. */
  readonly until?: string;
  /** Label or id. */
  readonly key?: string;
  readonly operation?: string;
  readonly client?: string;
  /** `ok`, an error code, or `failed` for every one. */
  readonly result?: string;
  readonly correlationId?: string;
}

/** @throws {AuditError} ERR_AUDIT_ARGUMENT_INVALID */
export function recordMatcher(filter: RecordFilter): (record: AuditRecord) => boolean {
  const [since, until] = [moment('since', filter.since), moment('until', filter.until)];
  if (since !== undefined && until !== undefined && since >= until) {
    throw new AuditError(
      'ERR_AUDIT_ARGUMENT_INVALID',
      `want since before until, got ${filter.since} and ${filter.until}`,
    );
  }
  const { key, operation, client, result, correlationId } = filter;
  return (record) => {
    const told = toldBy(record);
    return (
      (since === undefined || Date.parse(record.time) >= since) &&
      (until === undefined || Date.parse(record.time) < until) &&
      (key === undefined || told.key?.label === key || told.key?.id === key) &&
      (operation === undefined || told.operation === operation) &&
      (client === undefined || told.client === client) &&
      (result === undefined || results(told).some((one) => one === result || (result === 'failed' && one !== 'ok'))) &&
      (correlationId === undefined || told.correlationId === correlationId)
    );
  };
}

function results({ result, counts }: ToldFields): string[] {
  return result === undefined ? Object.keys(counts ?? {}) : [result];
}

function moment(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const parsed = isTime ? Date.parse(text) : NaN;
  if (!Number.isNaN(parsed)) return parsed;
  throw new AuditError('ERR_AUDIT_ARGUMENT_INVALID', `${name}: want a date or an RFC 3339 time, got ${text}`);
}
