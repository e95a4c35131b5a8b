import type { DataSource, EntityTarget } from 'typeorm';
import { median } from '../harness/sample.js';
import { insertRows } from './data-source.js';
import { type PlainRow, randomRow } from './entities.js';
import type { Cost, RowsResult } from './task.js';

/** Writes all rows, reads them all, reads some one by one, looks at what came back, and says what each has cost. */
export async function costsOf(
  opened: { readonly dataSource: DataSource; readonly entity: EntityTarget<PlainRow> },
  count: number,
  times: number,
): Promise<RowsResult> {
  const { dataSource, entity } = opened;
  const repository = dataSource.getRepository<PlainRow>(entity);
  const costs: Record<keyof RowsResult, Cost[]> = { insert: [], find: [], findOne: [] };
  for (let time = 0; time <= times; time++) {
    await dataSource.query('DELETE FROM "row"');
    const rows = Array.from({ length: count }, (_, n) => randomRow(n));
    const written = rows.map((row) => ({ ...row }));
    const insert = await cost(() => insertRows(opened, written));
    let found: PlainRow[] = [];
    const find = await cost(async () => (found = await repository.find()));
    check(rows, found);
    const some = found.slice(0, 1_000);
    const findOne = await cost(async () => {
      for (const { id } of some) await repository.findOneByOrFail({ id });
    });
    if (time === 0) continue;
    costs.insert.push(insert);
    costs.find.push(find);
    costs.findOne.push(findOne);
  }
  return { insert: middle(costs.insert), find: middle(costs.find), findOne: middle(costs.findOne) };
}

/** Of this process. */
export async function cost(work: () => Promise<unknown>): Promise<Cost> {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wallMilliseconds: performance.now() - start, cpuMilliseconds: (user + system) / 1_000 };
}

/** @throws unless what was read is what was written */
export function check(rows: readonly Partial<PlainRow>[], found: readonly PlainRow[]): void {
  const byNumber = new Map(found.map((row) => [row.n, row]));
  const isSame = rows.every((row) =>
    (['city', 'phone', 'street', 'diagnosis'] as const).every(
      (column) => byNumber.get(row.n ?? -1)?.[column] === row[column],
    ),
  );
  if (!isSame || found.length !== rows.length) throw new Error('bench: want the rows that were written, got others');
}

export function middle(costs: readonly Cost[]): Cost {
  return {
    wallMilliseconds: median(costs.map((each) => each.wallMilliseconds)),
    cpuMilliseconds: median(costs.map((each) => each.cpuMilliseconds)),
  };
}
