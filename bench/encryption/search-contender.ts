import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import { median } from '../harness/sample.js';
import { insertRows, openDataSource } from './data-source.js';
import { type PlainRow, randomRow } from './entities.js';
import type { RowsTask, SearchResult } from './task.js';

const searches = 1_000;

/** Writes all rows, then finds some by their phone, one by one, and looks at what came back. */
perform<RowsTask, SearchResult>(async (task) => {
  const hsm = await Hsm.open(task.hsm);
  const opened = await openDataSource(task, hsm);
  const repository = opened.dataSource.getRepository<PlainRow>(opened.entity);
  const rows = Array.from({ length: task.rows }, (_, n) => randomRow(n));
  await insertRows(
    opened,
    rows.map((row) => ({ ...row })),
  );
  const wanted = rows.filter((_, index) => index % Math.ceil(task.rows / searches) === 0);
  const samples: SearchResult[] = [];
  for (let time = 0; time <= task.times; time++) {
    const start = performance.now();
    const before = process.cpuUsage();
    for (const { phone, n } of wanted) {
      const found = await repository.findOneByOrFail({ phone });
      if (found.n !== n) throw new Error('bench: want the row that was written, got another');
    }
    const { user, system } = process.cpuUsage(before);
    const sample = {
      wallMicroseconds: ((performance.now() - start) * 1_000) / wanted.length,
      cpuMicroseconds: (user + system) / wanted.length,
    };
    if (time > 0) samples.push(sample);
  }
  await opened.dataSource.destroy();
  await hsm.close();
  return {
    cpuMicroseconds: median(samples.map((each) => each.cpuMicroseconds)),
    wallMicroseconds: median(samples.map((each) => each.wallMicroseconds)),
  };
});
