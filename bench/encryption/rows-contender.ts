import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import { openDataSource } from './data-source.js';
import { costsOf } from './rows-cost.js';
import type { RowsResult, RowsTask } from './task.js';

/** The rows in encrypted columns, or in plain ones. */
perform<RowsTask, RowsResult>(async (task) => {
  const hsm = await Hsm.open(task.hsm);
  const opened = await openDataSource(task, hsm);
  const result = await costsOf(opened, task.rows, task.times);
  await opened.dataSource.destroy();
  await hsm.close();
  return result;
});
