import { join } from 'node:path';
import { TestPostgres } from '../../test/support/postgres.js';
import { TestToken } from '../../test/support/token.js';
import { type CaseFacts, contest, type Contender, type Outcome, type Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { report } from '../harness/report.js';
import type { CallsResult, CallsTask, Cost, RowsResult, RowsTask } from './task.js';

/**
 * 10,000 rows of four encrypted texts, written and read through TypeORM, against the same rows in plain columns. Values are the CPU
 * time of the application's process; `-wall` is what its caller waits.
 */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const rows = Number(process.env.NEST_HSM_BENCH_ROWS ?? 10_000);
const times = 5;

const token = new TestToken('bench');
const postgres = await TestPostgres.start();
try {
  const databases = {
    sqlite: { type: 'better-sqlite3', place: join(token.directory, 'bench.sqlite') },
    pg: { type: 'postgres', place: await postgres.database('bench') },
  } as const;
  const outcomes: Outcome[] = [];
  for (const [name, insertTarget, findTarget] of [
    ['sqlite', 1.25, 2.5],
    ['pg', 1.4, 2.8],
  ] as const) {
    const task = (columns: RowsTask['columns']): RowsTask => {
      return { database: databases[name], hsm: token.config(), columns, rows, times };
    };
    const contender = (title: string, columns: RowsTask['columns']): Contender => ({
      name: title,
      run: async () => samples(name, await inProcess(new URL('rows-contender.js', import.meta.url), task(columns))),
    });
    outcomes.push(
      ...(await contest(
        {
          [`${name}-insert`]: milliseconds(insertTarget),
          [`${name}-insert-wall`]: milliseconds(),
          [`${name}-find`]: milliseconds(findTarget),
          [`${name}-find-wall`]: milliseconds(),
          [`${name}-find-one`]: { ...milliseconds(), unit: 'µs' },
        },
        contender('encrypted', 'encrypted'),
        contender('plain', 'plain'),
        rounds,
      )),
    );
  }

  const calls = { 'hsm-calls-per-million': { unit: 'calls', better: 'lower', target: '≤ 10' } } as const;
  const place = join(token.directory, 'calls.sqlite');
  // A token of its own: the first start makes the KEK too.
  const fresh = new TestToken('bench-calls');
  const callsTask: CallsTask = {
    database: { type: 'better-sqlite3', place },
    hsm: fresh.config(),
    columns: 'encrypted',
    rows,
    times,
    cells: 1_000_000,
  };
  const { hsmCalls } = await inProcess<CallsTask, CallsResult>(
    new URL('calls-contender.js', import.meta.url),
    callsTask,
  );
  fresh.remove();
  const once = { name: 'encrypted', run: () => Promise.resolve({ 'hsm-calls-per-million': { value: hsmCalls } }) };
  outcomes.push(...(await contest(calls, once, undefined, 1)));
  report(outcomes);
} finally {
  await postgres.stop();
  token.remove();
}

/** @param most  how many times the CPU time of plain columns the project allows */
function milliseconds(most?: number): CaseFacts {
  const target = most === undefined ? undefined : `≥ ${(1 / most).toFixed(2)}× (${most}× the time)`;
  return { unit: 'ms', better: 'lower', target };
}

function samples(name: string, { insert, find, findOne }: RowsResult): Samples {
  const each = (suffix: string, { cpuMilliseconds, wallMilliseconds }: Cost) => ({
    [`${name}-${suffix}`]: { value: cpuMilliseconds, cpuMicroseconds: (cpuMilliseconds / rows) * 1_000 },
    [`${name}-${suffix}-wall`]: { value: wallMilliseconds },
  });
  // A thousand were read one by one.
  return { ...each('insert', insert), ...each('find', find), [`${name}-find-one`]: { value: findOne.cpuMilliseconds } };
}
