import type { HsmConfig } from '@nest-hsm/hsm';

/** What a contender of this bench is asked to do: write and read rows, and say what it cost. */
export interface RowsTask {
  readonly database: { readonly type: 'better-sqlite3' | 'postgres'; readonly place: string };
  /** The token that holds the KEK. */
  readonly hsm: HsmConfig;
  /** searchable and indexed: encrypted and plain, with one column that is searched */
  readonly columns: 'encrypted' | 'plain' | 'searchable' | 'indexed';
  readonly rows: number;
  /** Times that all rows are written and read; the first of them only warms up. */
  readonly times: number;
}

/** On the TypeORM that a peer works with. */
export interface TypeormEncryptedTask extends Pick<RowsTask, 'columns' | 'database' | 'rows' | 'times'> {
  /** The folder with its packages. */
  readonly place: string;
}

/** Medians over the times. */
export interface RowsResult {
  readonly insert: Cost;
  readonly find: Cost;
  readonly findOne: Cost;
}

/** Of all rows, in this process: neither the database server nor the token's agent is counted. */
export interface Cost {
  readonly wallMilliseconds: number;
  readonly cpuMilliseconds: number;
}

export interface SearchResult {
  /** Microseconds of CPU and of time for one row found by its phone, of all rows. */
  readonly cpuMicroseconds: number;
  readonly wallMicroseconds: number;
}

export interface CallsTask extends RowsTask {
  readonly cells: number;
}

export interface CallsResult {
  /** Calls of every kind to the token, from the first start on. */
  readonly hsmCalls: number;
}

export interface ReencryptionResult {
  readonly cellsPerSecond: number;
  /** Of this process. */
  readonly cellsPerCpuSecond: number;
  /** 99th percentile of one row read by its key, with nothing else to do and meanwhile. */
  readonly idleP99Milliseconds: number;
  readonly busyP99Milliseconds: number;
}
