import type { ChainWriter } from './chain-writer.js';
import { foldedFields, foldedOpenFields, rfc3339, type UseFacts } from './record-fields.js';

/** Uses of one kind that are counted. */
interface Fold {
  readonly facts: UseFacts;
  /** Where the `seq` of its `folded-open` is. */
  readonly opening: { readonly seq: number };
  readonly first: number;
  last: number;
  readonly counts: Map<string, number>;
}

/** Counts uses and writes the counts down every so often. */
export class Folds {
  readonly #open = new Map<string, Fold>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly writer: ChainWriter,
    private readonly foldSeconds: number,
  ) {}

  /** Counts a use. @param result  `ok` or an error code */
  add(facts: UseFacts, result: string): void {
    const name = `${facts.operation} ${facts.keyId} ${facts.mechanism} ${facts.client}`;
    const fold = this.#open.get(name) ?? this.#begin(name, facts);
    fold.last = Date.now();
    fold.counts.set(result, (fold.counts.get(result) ?? 0) + 1);
  }

  /** Writes down what was counted. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { facts, opening, first, last, counts } of this.#open.values()) {
      const operations = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const times = { first: rfc3339(first), last: rfc3339(last) };
      const fields = (): string =>
        foldedFields(facts, { open: opening.seq || undefined, ...times, counts: Object.fromEntries(counts) });
      this.writer.append(fields, operations);
    }
    this.#open.clear();
  }

  #begin(name: string, facts: UseFacts): Fold {
    const opening = this.writer.append(foldedOpenFields(facts), 0);
    const fold = { facts, opening, first: Date.now(), last: 0, counts: new Map<string, number>() };
    this.#open.set(name, fold);
    // One interval for all, so that few records tell of many keys.
    this.#timer ??= setTimeout(() => this.close(), this.foldSeconds * 1000).unref();
    return fold;
  }
}
