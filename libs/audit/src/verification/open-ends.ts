import type { AuditRecord } from '@nest-hsm/hsm';
import type { Note } from './report.js';

/** Agents have far fewer calls under way; a file that somebody made may have any number. */
const maximumOpen = 16_384;

/** What was begun and not ended: intents without a result, counted intervals without a count. */
export class OpenEnds {
  readonly #open = new Map<number, AuditRecord>();

  /** @returns a note, when too much is open to wait for the ends */
  meet(record: AuditRecord): Note | undefined {
    if (record.kind === 'result' && record.intent !== undefined) this.#open.delete(record.intent);
    if (record.kind === 'folded' && record.open !== undefined) this.#open.delete(record.open);
    if (record.kind !== 'intent' && record.kind !== 'folded-open') return undefined;
    this.#open.set(record.seq, record);
    if (this.#open.size <= maximumOpen) return undefined;
    const [oldest] = this.#open.values();
    this.#open.delete(oldest.seq);
    return endless(oldest);
  }

  /** What is still open at the end of the chain. */
  *end(): Generator<Note> {
    for (const record of this.#open.values()) yield endless(record);
  }
}

function endless(record: AuditRecord): Note {
  const { seq, time } = record;
  if (record.kind === 'folded-open')
    return { kind: 'count-unknown', seq, time, message: `${told(record)}: count unknown` };
  return { kind: 'outcome-unknown', seq, time, message: `${told(record)}: outcome unknown` };
}

function told(record: AuditRecord): string {
  if (record.kind !== 'intent' && record.kind !== 'folded-open') return record.kind;
  const { operation, client, key } = record;
  return [operation, key?.label ?? key?.id, `by ${client}`].filter((part) => part !== undefined).join(' ');
}
