import type { AuditRecord } from '@nest-hsm/hsm';
import type { Note } from './report.js';

/** Agents have far fewer calls under way; a file that somebody made may have any number. */
const maximumOpen = 16_384;
const maximumToldLength = 200;

/** What was begun and not ended: intents without a result, counted intervals without a count. */
export class OpenEnds {
  readonly #open = new Map<number, Note>();

  /** @returns a note, when too much is open to wait for the ends */
  meet(record: AuditRecord): Note | undefined {
    if (record.kind === 'result' && record.intent !== undefined) this.#open.delete(record.intent);
    if (record.kind === 'folded' && record.open !== undefined) this.#open.delete(record.open);
    const endless = endlessNote(record);
    if (endless === undefined) return undefined;
    this.#open.set(record.seq, endless);
    if (this.#open.size <= maximumOpen) return undefined;
    const [[seq, oldest]] = this.#open;
    this.#open.delete(seq);
    return oldest;
  }

  /** What is still open at the end of the chain. */
  end(): Iterable<Note> {
    return this.#open.values();
  }
}

/** What it is should no end follow. */
function endlessNote(record: AuditRecord): Note | undefined {
  if (record.kind !== 'intent' && record.kind !== 'folded-open') return undefined;
  const { seq, time, operation, client, key } = record;
  const told = copied(
    [operation, key?.label ?? key?.id, `by ${client}`].filter((part) => part !== undefined).join(' '),
  );
  if (record.kind === 'intent') return { kind: 'outcome-unknown', seq, time, message: `${told}: outcome unknown` };
  return { kind: 'count-unknown', seq, time, message: `${told}: count unknown` };
}

/** A record may hold anything, and a part of a string keeps the whole. */
function copied(text: string): string {
  return Buffer.from(text.slice(0, maximumToldLength)).toString();
}
