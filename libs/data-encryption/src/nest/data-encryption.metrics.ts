import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { DataEncryptionErrorCode } from '../errors.js';
import type { DataEncryptionObserver } from '../observer.js';

/** Seconds, from a token in memory to a network HSM that is about to be given up. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The metrics of one encrypted database. Several share the metrics of a registry and are told apart by the label `database`,
 * which is the `databaseId`.
 *
 * nest_hsm_data_encryption_cells_total{database, operation} · nest_hsm_data_encryption_failures_total{database, code} ·
 * nest_hsm_data_encryption_data_key_unwraps_total{database, code} ·
 * nest_hsm_data_encryption_data_key_unwrap_duration_seconds{database} · nest_hsm_data_encryption_data_keys_loaded{database} ·
 * nest_hsm_data_encryption_reencryption_rows{database, table, rows}: `seen` of `all`, while a table is encrypted anew by any process
 */
export class DataEncryptionMetrics implements DataEncryptionObserver {
  readonly #cells: Counter;
  readonly #failures: Counter;
  readonly #unwraps: Counter;
  readonly #unwrapDuration: Histogram;
  readonly #loadedKeys: LoadedKeysGauge;
  readonly #reencryption: ReencryptionGauge;

  constructor(
    /** The value of the label `database`. */
    private readonly database: string,
    registry: Registry,
  ) {
    const registers = [registry];
    this.#cells = shared(registry, 'cells_total', (name) => {
      const help = 'Cells encrypted and decrypted';
      return new Counter({ name, help, labelNames: ['database', 'operation'], registers });
    });
    this.#failures = shared(registry, 'failures_total', (name) => {
      const help = 'Statements and results that failed for their cells';
      return new Counter({ name, help, labelNames: ['database', 'code'], registers });
    });
    this.#unwraps = shared(registry, 'data_key_unwraps_total', (name) => {
      const help = 'Data keys that the HSM was asked to decrypt, by result: OK or an error code';
      return new Counter({ name, help, labelNames: ['database', 'code'], registers });
    });
    this.#unwrapDuration = shared(registry, 'data_key_unwrap_duration_seconds', (name) => {
      const help = 'How long the HSM took to decrypt a data key, its queue included';
      return new Histogram({ name, help, labelNames: ['database'], buckets, registers });
    });
    this.#loadedKeys = shared(registry, 'data_keys_loaded', (name) => new LoadedKeysGauge(name, registry));
    this.#reencryption = shared(registry, 'reencryption_rows', (name) => new ReencryptionGauge(name, registry));
    for (const operation of ['encrypt', 'decrypt']) this.#cells.inc({ database, operation }, 0);
  }

  cells(operation: 'encrypt' | 'decrypt', count: number): void {
    this.#cells.inc({ database: this.database, operation }, count);
  }

  failed(code: DataEncryptionErrorCode): void {
    this.#failures.inc({ database: this.database, code });
  }

  dataKeyUnwrapped(code: DataEncryptionErrorCode | 'OK', milliseconds: number): void {
    this.#unwraps.inc({ database: this.database, code });
    this.#unwrapDuration.observe({ database: this.database }, milliseconds / 1_000);
  }

  /** Asks for the number of loaded keys whenever metrics are collected. */
  watchLoadedKeys(loadedKeys: () => number): void {
    this.#loadedKeys.sources.set(this.database, loadedKeys);
  }

  /** Asks the database whenever metrics are collected. */
  watchReencryption(read: ReadReencryption): void {
    this.#reencryption.sources.set(this.database, read);
  }
}

/** The registry's own metric of that name, or a new one. */
function shared<M>(registry: Registry, suffix: string, make: (name: string) => M): M {
  const name = `nest_hsm_data_encryption_${suffix}`;
  return (registry.getSingleMetric(name) as M | undefined) ?? make(name);
}

class LoadedKeysGauge extends Gauge<'database'> {
  readonly sources = new Map<string, () => number>();

  constructor(name: string, registry: Registry) {
    const collect = (): void => {
      for (const [database, read] of this.sources) this.set({ database }, read());
    };
    super({ name, help: 'Data keys in memory', labelNames: ['database'], registers: [registry], collect });
  }
}

/** The tables that are being encrypted anew. */
type ReadReencryption = () => Promise<readonly { tableId: string; rows: number; ofRows: number }[]>;

class ReencryptionGauge extends Gauge<'database' | 'rows' | 'table'> {
  readonly sources = new Map<string, ReadReencryption>();

  constructor(name: string, registry: Registry) {
    const collect = async (): Promise<void> => {
      this.reset();
      for (const [database, read] of this.sources) {
        // A database that is away shows in its own metrics; it keeps nobody from the others.
        for (const { tableId: table, rows, ofRows } of await read().catch(() => [])) {
          this.set({ database, table, rows: 'seen' }, rows);
          this.set({ database, table, rows: 'all' }, ofRows);
        }
      }
    };
    const help = 'Rows looked at, of all, in the pass over a table that is encrypted anew';
    super({ name, help, labelNames: ['database', 'table', 'rows'], registers: [registry], collect });
  }
}
