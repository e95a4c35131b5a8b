import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import { median } from '../harness/sample.js';
import { insertRows, openDataSource } from './data-source.js';
import { type PlainRow, randomRow } from './entities.js';
import type { Cost, RowsResult, RowsTask } from './task.js';

/** Writes all rows, reads them all, reads some one by one, and looks at what came back. */
perform<RowsTask, RowsResult>(async (task) => {
  const hsm = await Hsm.open(task.hsm);
  const opened = await openDataSource(task, hsm);
  const { dataSource, entity } = opened;
  const repository = dataSource.getRepository<PlainRow>(entity);
  const costs: Record<keyof RowsResult, Cost[]> = { insert: [], find: [], findOne: [] };
  for (let time = 0; time <= task.times; time++) {
    await dataSource.query('DELETE FROM "row"');
    const rows = Array.from({ length: task.rows }, (_, n) => randomRow(n));
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
  await dataSource.destroy();
  await hsm.close();
  return { insert: middle(costs.insert), find: middle(costs.find), findOne: middle(costs.findOne) };
});

async function cost(work: () => Promise<unknown>): Promise<Cost> {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wallMilliseconds: performance.now() - start, cpuMilliseconds: (user + system) / 1_000 };
}

function check(rows: readonly Partial<PlainRow>[], found: readonly PlainRow[]): void {
  const byNumber = new Map(found.map((row) => [row.n, row]));
  const isSame = rows.every((row) =>
    (['city', 'phone', 'street', 'diagnosis'] as const).every(
      (column) => byNumber.get(row.n ?? -1)?.[column] === row[column],
    ),
  );
  if (!isSame || found.length !== rows.length) throw new Error('bench: want the rows that were written, got others');
}

function middle(costs: readonly Cost[]): Cost {
  return {
    wallMilliseconds: median(costs.map((each) => each.wallMilliseconds)),
    cpuMilliseconds: median(costs.map((each) => each.cpuMilliseconds)),
  };
}
