import { Hsm } from '@nest-hsm/hsm';
import type { KekHolder } from '@nest-hsm/data-encryption';
import { perform } from '../harness/process.js';
import { insertRows, openDataSource } from './data-source.js';
import { randomRow } from './entities.js';
import type { CallsResult, CallsTask } from './task.js';

const columns = 4;

/** Writes and reads so many cells, from the first start of an application on, and counts what its token is asked. */
perform<CallsTask, CallsResult>(async (task) => {
  const hsm = await Hsm.open(task.hsm);
  let hsmCalls = 0;
  const counted = new Proxy<KekHolder>(hsm, {
    get: (target, name: keyof KekHolder) => {
      const method = target[name].bind(target) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        hsmCalls++;
        return method(...args);
      };
    },
  });
  const opened = await openDataSource(task, counted);
  for (let cells = 0; cells < task.cells; cells += task.rows * columns) {
    await opened.dataSource.query('DELETE FROM "row"');
    await insertRows(
      opened,
      Array.from({ length: task.rows }, (_, n) => randomRow(n)),
    );
    await opened.dataSource.manager.find(opened.entity);
  }
  await opened.dataSource.destroy();
  await hsm.close();
  return { hsmCalls };
});
