import { join } from 'node:path';
import { TestPostgres } from '../../test/support/postgres.js';
import { TestToken } from '../../test/support/token.js';
import { type CaseFacts, contest, type Contender, type Outcome, type Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { report } from '../harness/report.js';
import type {
  CallsResult,
  CallsTask,
  Cost,
  ReencryptionResult,
  RowsResult,
  RowsTask,
  SearchResult,
  TypeormEncryptedTask,
} from './task.js';
import { provideTypeormEncrypted } from './typeorm-encrypted.js';

/**
 * 10,000 rows of four encrypted texts, written, read and encrypted anew through TypeORM, against the same rows in plain columns.
 * Values are the CPU time of the application's process; `-wall` is what its caller waits. Arguments: the cases that are run;
 * none means all.
 */
const only = process.argv.slice(2);
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
  const task = (name: keyof typeof databases, columns: RowsTask['columns']): RowsTask => {
    return { database: databases[name], hsm: token.config(), columns, rows, times };
  };
  const outcomes: Outcome[] = [];
  const compare = async (
    cases: Readonly<Record<string, CaseFacts>>,
    ours: Contender,
    peers: readonly Contender[],
    rounds: number,
  ): Promise<void> => {
    const isWanted = only.length === 0 || Object.keys(cases).some((name) => only.includes(name));
    if (isWanted) outcomes.push(...(await contest(cases, ours, peers, rounds)));
  };

  for (const [name, insertTarget, findTarget] of [
    ['sqlite', 1.25, 2.5],
    ['pg', 1.4, 2.8],
  ] as const) {
    const contender = (title: string, columns: RowsTask['columns']): Contender => ({
      name: title,
      run: async () =>
        samples(name, await inProcess(new URL('rows-contender.js', import.meta.url), task(name, columns))),
    });
    const cases = {
      [`${name}-insert`]: milliseconds(insertTarget),
      [`${name}-insert-wall`]: milliseconds(),
      [`${name}-find`]: milliseconds(findTarget),
      [`${name}-find-wall`]: milliseconds(),
      [`${name}-find-one`]: { ...milliseconds(), unit: 'µs' },
    };
    const peers = [contender('plain', 'plain'), ...(name === 'pg' ? [pgcrypto(task(name, 'plain'))] : [])];
    await compare(cases, contender('encrypted', 'encrypted'), peers, rounds);
  }

  const remarks: string[] = [];
  const isTypeormEncryptedWanted = only.length === 0 || only.some((name) => name.startsWith('typeorm-encrypted'));
  const place = isTypeormEncryptedWanted ? provided(remarks) : undefined;
  if (place !== undefined) {
    const { database, rows: count, times: each } = task('sqlite', 'plain');
    const contender = (title: string, columns: RowsTask['columns']): Contender => ({
      name: title,
      run: async () => {
        const module = new URL('typeorm-encrypted-contender.js', import.meta.url);
        const peer: TypeormEncryptedTask = { place, database, columns, rows: count, times: each };
        return samples('typeorm-encrypted', await inProcess<TypeormEncryptedTask, RowsResult>(module, peer));
      },
    });
    const cases = {
      'typeorm-encrypted-insert': milliseconds(),
      'typeorm-encrypted-find': milliseconds(),
      'typeorm-encrypted-find-one': { ...milliseconds(), unit: 'µs' },
    };
    const plain = contender('plain, TypeORM 0.3', 'plain');
    await compare(cases, contender('typeorm-encrypted', 'encrypted'), [plain], rounds);
  }

  for (const [name, prefix] of [
    ['sqlite', 'reencrypt'],
    ['pg', 'pg-reencrypt'],
  ] as const) {
    const cases: Record<string, CaseFacts> = {
      [`${prefix}-cells-s`]: { unit: 'cells/CPU s', better: 'higher', target: '≥ 20,000' },
      [`${prefix}-cells-wall-s`]: { unit: 'cells/s', better: 'higher' },
      // Of one row read by its key meanwhile, beside the same with nothing else going on.
      [`${prefix}-read-p99-ms`]: { unit: 'ms', better: 'lower' },
    };
    let idle: Samples = {};
    const reencryption = async (): Promise<Samples> => {
      const module = new URL('reencryption-contender.js', import.meta.url);
      const result = await inProcess<RowsTask, ReencryptionResult>(module, task(name, 'encrypted'));
      idle = { [`${prefix}-read-p99-ms`]: { value: result.idleP99Milliseconds } };
      return {
        [`${prefix}-cells-s`]: { value: result.cellsPerCpuSecond },
        [`${prefix}-cells-wall-s`]: { value: result.cellsPerSecond },
        [`${prefix}-read-p99-ms`]: { value: result.busyP99Milliseconds },
      };
    };
    const ours = { name: 'encrypting anew', run: reencryption };
    await compare(cases, ours, [{ name: 'reading alone', run: () => Promise.resolve(idle) }], Math.min(rounds, 3));
  }

  const searcher = (title: string, columns: RowsTask['columns']): Contender => ({
    name: title,
    run: async () => {
      const contender = new URL('search-contender.js', import.meta.url);
      const found = await inProcess<RowsTask, SearchResult>(contender, task('sqlite', columns));
      return {
        'find-one-indexed': { value: found.cpuMicroseconds, cpuMicroseconds: found.cpuMicroseconds },
        'find-one-indexed-wall': { value: found.wallMicroseconds },
      };
    },
  });
  const searches = {
    'find-one-indexed': { ...milliseconds(1.6), unit: 'µs' },
    'find-one-indexed-wall': { ...milliseconds(), unit: 'µs' },
  };
  await compare(searches, searcher('searchable', 'searchable'), [searcher('plain', 'indexed')], rounds);

  const calls = { 'hsm-calls-per-million': { unit: 'calls', better: 'lower', target: '≤ 10' } } as const;
  // A count is the same each time.
  let counted: Promise<Samples> | undefined;
  await compare(calls, { name: 'encrypted', run: () => (counted ??= countCalls()) }, [], 1);
  report(outcomes, remarks);
} finally {
  await postgres.stop();
  token.remove();
}

/** The server's own encryption is not in the CPU time of the application: compared is what the caller waits. */
function pgcrypto(task: RowsTask): Contender {
  return {
    name: 'pgcrypto',
    run: async () => {
      const module = new URL('pgcrypto-contender.js', import.meta.url);
      const { insert, find } = await inProcess<RowsTask, RowsResult>(module, task);
      return {
        'pg-insert-wall': { value: insert.wallMilliseconds },
        'pg-find-wall': { value: find.wallMilliseconds },
      };
    },
  };
}

/** @returns where typeorm-encrypted is; undefined, with a remark, where it cannot be had */
function provided(remarks: string[]): string | undefined {
  try {
    return provideTypeormEncrypted(process.env.NEST_HSM_BENCH_PEERS ?? '');
  } catch (error) {
    remarks.push(`typeorm-encrypted is not compared with: ${(error as Error).message.split('\n', 1)[0]}`);
    return undefined;
  }
}

/** On a token of its own: the first start makes the KEK too. */
async function countCalls(): Promise<Samples> {
  const fresh = new TestToken('bench-calls');
  const database = { type: 'better-sqlite3', place: join(fresh.directory, 'calls.sqlite') } as const;
  const task: CallsTask = { database, hsm: fresh.config(), columns: 'encrypted', rows, times, cells: 1_000_000 };
  const module = new URL('calls-contender.js', import.meta.url);
  const { hsmCalls } = await inProcess<CallsTask, CallsResult>(module, task).finally(() => fresh.remove());
  return { 'hsm-calls-per-million': { value: hsmCalls } };
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
