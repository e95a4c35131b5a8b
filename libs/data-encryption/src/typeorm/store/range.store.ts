import { randomUUID } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import type { KeyRange, StoredKey } from '../lifecycle/cell-table.js';
import { RangeEntity } from './range.entity.js';

/** What has been done of a range, or of a whole pass. */
export interface PassCounts {
  /** Rows looked at. */
  readonly rows: number;
  /** Cells encrypted anew. */
  readonly replaced: number;
  /** Rows that somebody else changed meanwhile. */
  readonly missed: number;
  /** Rows with a cell that does not decrypt. */
  readonly failed: number;
}

export interface Pass extends PassCounts {
  readonly pass: number;
  /** Rows that the table had when the pass began. */
  readonly ofRows: number;
  readonly isFinished: boolean;
}

/** A range that is held: nobody else takes it while it is advanced. */
export interface HeldRange extends KeyRange {
  readonly pass: number;
  readonly part: number;
}

const counts = ['rows', 'replaced', 'missed', 'failed'] as const;

/** How far encrypting a table anew has come, in the database itself: another process goes on where one has ended. */
export class RangeStore {
  readonly #worker = randomUUID();

  /** Ranges that others hold, by their parts: how they were, and since when by a clock that never goes back. */
  readonly #watched = new Map<
    number,
    { readonly worker: string; readonly heldUntil: string; readonly since: number }
  >();

  constructor(
    private readonly session: QueryRunner,
    private readonly tableId: string,
    /** Longer than a page takes; after it a range of a worker that died is taken over. */
    private readonly holdMilliseconds = 10_000,
  ) {}

  /** The latest pass over a table, if it has not been ended. */
  static async latest(dataSource: DataSource, tableId: string): Promise<Pass | undefined> {
    const rows = await dataSource.manager.findBy(RangeEntity, { tableId });
    if (rows.length === 0) return undefined;
    const pass = Math.max(...rows.map((row) => row.pass));
    const ranges = rows.filter((row) => row.pass === pass);
    const sum = (name: (typeof counts)[number] | 'ofRows') => ranges.reduce((total, row) => total + row[name], 0);
    return {
      pass,
      ofRows: sum('ofRows'),
      isFinished: ranges.every((row) => row.isFinished === 1),
      rows: sum('rows'),
      replaced: sum('replaced'),
      missed: sum('missed'),
      failed: sum('failed'),
    };
  }

  /** Begins a pass, in the place of those before it. Of several workers all get the ranges of one. */
  async begin(pass: number, ranges: readonly (KeyRange & { readonly ofRows: number })[]): Promise<void> {
    const { manager } = this.session;
    await manager
      .createQueryBuilder()
      .delete()
      .from(RangeEntity)
      .where('table_id = :tableId AND pass < :pass', { tableId: this.tableId, pass })
      .execute();
    for (const [part, { after, upTo, ofRows }] of ranges.entries()) {
      const row = { tableId: this.tableId, pass, part, afterKey: text(after), upToKey: text(upTo), ofRows };
      const insert = manager.createQueryBuilder().insert().into(RangeEntity).values(row);
      await insert.orIgnore().updateEntity(false).callListeners(false).execute();
    }
  }

  /** Takes a range that nobody is at. @returns undefined when there is none */
  async take(pass: number): Promise<HeldRange | undefined> {
    const now = new Date();
    const open = this.session.manager
      .createQueryBuilder(RangeEntity, 'part')
      .where('part.tableId = :tableId AND part.pass = :pass', { tableId: this.tableId, pass })
      .andWhere('part.isFinished = 0')
      .orderBy('part.part')
      .limit(16);
    const free = await open.clone().andWhere('part.heldUntil < :now', { now: now.toISOString() }).getMany();
    const left = free.length > 0 ? free : (await open.getMany()).filter((range) => this.#isLeft(range));
    for (const { part, worker, heldUntil: was, afterKey, upToKey } of left) {
      const taken = await this.#update(
        pass,
        part,
        worker,
        { worker: this.#worker, heldUntil: this.#heldUntil(now) },
        was,
      );
      if (taken) return { pass, part, after: keyOf(afterKey), upTo: keyOf(upToKey) };
    }
    return undefined;
  }

  /** Whether the holder has done nothing for so long that he is gone, by our own clock: his may have been wrong, or ours was set back. */
  #isLeft({ part, worker, heldUntil }: RangeEntity): boolean {
    const before = this.#watched.get(part);
    const now = performance.now();
    if (before?.worker === worker && before.heldUntil === heldUntil) return now - before.since > this.holdMilliseconds;
    this.#watched.set(part, { worker, heldUntil, since: now });
    return false;
  }

  /** @returns false when another worker has taken the range over */
  async advance({ pass, part }: HeldRange, after: StoredKey | undefined, done: PassCounts): Promise<boolean> {
    const added = counts.map((name): [string, unknown] => [name, () => `${columnOf(name)} + ${done[name]}`]);
    return this.#update(pass, part, this.#worker, {
      ...Object.fromEntries(added),
      heldUntil: this.#heldUntil(new Date()),
      ...(after === undefined ? { isFinished: 1 } : { afterKey: text(after) }),
    });
  }

  /** Leaves a range to whoever comes next. */
  async release({ pass, part }: HeldRange): Promise<void> {
    await this.#update(pass, part, this.#worker, { heldUntil: '' });
  }

  /** Forgets how a table was encrypted anew, when it is. */
  async end(): Promise<void> {
    await this.session.manager.delete(RangeEntity, { tableId: this.tableId });
  }

  #heldUntil(now: Date): string {
    return new Date(now.getTime() + this.holdMilliseconds).toISOString();
  }

  /** @param heldUntil  as it was read, where somebody else's range is taken */
  async #update(pass: number, part: number, worker: string, set: object, heldUntil?: string): Promise<boolean> {
    const update = this.session.manager
      .createQueryBuilder()
      .update(RangeEntity)
      .set(set)
      .where('table_id = :tableId AND pass = :pass AND part = :part', { tableId: this.tableId, pass, part })
      .andWhere('worker = :worker', { worker });
    if (heldUntil !== undefined) update.andWhere('held_until = :heldUntil', { heldUntil });
    const { affected } = await update.callListeners(false).execute();
    return affected === 1;
  }
}

function columnOf(name: (typeof counts)[number]): string {
  return name === 'rows' ? 'seen_rows' : name;
}

function text(key: StoredKey | undefined): string | null {
  return key === undefined ? null : JSON.stringify(key);
}

function keyOf(text: string | null): StoredKey | undefined {
  return text === null ? undefined : (JSON.parse(text) as StoredKey);
}
