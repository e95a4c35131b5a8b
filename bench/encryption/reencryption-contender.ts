import { setTimeout as delay } from 'node:timers/promises';
import { DataEncryption } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import { quantile } from '../harness/sample.js';
import { insertRows, openDataSource } from './data-source.js';
import { EncryptedRow, randomRow } from './entities.js';
import type { ReencryptionResult, RowsTask } from './task.js';

/** Gives a full table another data key, while a caller reads rows by their keys. */
perform<RowsTask, ReencryptionResult>(async (task) => {
  const hsm = await Hsm.open(task.hsm);
  const opened = await openDataSource(task, hsm);
  const { dataSource } = opened;
  await insertRows(
    opened,
    Array.from({ length: task.rows }, (_, n) => randomRow(n)),
  );
  const repository = dataSource.getRepository(EncryptedRow);
  const ids = (await repository.find({ select: { id: true }, take: 1_000 })).map(({ id }) => id);

  const reading = (signal: AbortSignal) => readOneByOne((id) => repository.findOneByOrFail({ id }), ids, signal);
  const idle = await reading(AbortSignal.timeout(2_000));

  const lifecycle = DataEncryption.of(dataSource)!.lifecycle;
  await lifecycle.rotate('EncryptedRow');
  const alone = await measured(lifecycle, task.rows);
  await lifecycle.rotate('EncryptedRow');
  const controller = new AbortController();
  const busy = reading(controller.signal);
  await measured(lifecycle, task.rows, () => controller.abort());
  const result = { ...alone, idleP99Milliseconds: idle, busyP99Milliseconds: await busy };
  await dataSource.destroy();
  await hsm.close();
  return result;
});

/** The first pass: it moves every cell. What follows only waits and looks. */
async function measured(lifecycle: DataEncryption['lifecycle'], rows: number, onMeasured?: () => void) {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  let result: Pick<ReencryptionResult, 'cellsPerSecond' | 'cellsPerCpuSecond'> | undefined;
  await lifecycle.reencrypt('EncryptedRow', {
    onProgress: ({ pass, rows: done, replaced }) => {
      if (pass !== 1 || done < rows || result !== undefined) return;
      const { user, system } = process.cpuUsage(cpuStart);
      const cellsPerSecond = replaced / ((performance.now() - start) / 1_000);
      result = { cellsPerSecond, cellsPerCpuSecond: replaced / ((user + system) / 1_000_000) };
      onMeasured?.();
    },
  });
  if (result === undefined) throw new Error('bench: want every row looked at in the first pass, got fewer');
  return result;
}

/** @returns the 99th percentile of what a read took, in milliseconds */
async function readOneByOne(
  read: (id: string) => Promise<unknown>,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const took: number[] = [];
  while (!signal.aborted) {
    const start = performance.now();
    await read(ids[took.length % ids.length]);
    took.push(performance.now() - start);
    await delay(1);
  }
  return quantile(took, 0.99);
}
