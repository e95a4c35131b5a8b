import {
  CaError,
  type CaJob,
  type CaObserver,
  type DatabaseConfig,
  databaseUrl,
  type JobRunner,
  type Jobs,
  type SharedJobs,
} from '@nest-hsm/ca';
import type { PgBoss } from 'pg-boss';

/** Tables of pg-boss, beside those of the CA. */
const schema = 'ca_jobs';
const everyMinute = '* * * * *';
/** A job whose replica has died is somebody else's after this. */
const heartbeatSeconds = 30;
const pollingSeconds = 5;
/** Long enough for a token to sign what a dead replica left. */
const stopMilliseconds = 20_000;

/** On PostgreSQL the replicas share the jobs out by pg-boss; a SQLite file has one process, which runs them by itself. */
export function replicaJobs(database: DatabaseConfig): SharedJobs | undefined {
  if (database.type !== 'postgres') return undefined;
  const url = databaseUrl(database);
  return (jobs, observer) => new ReplicaJobs(url, jobs, observer);
}

/**
 * Each job is a queue of one: whichever replica takes it runs it, none runs it meanwhile, and the next minute's is not put beside one that
 * is not done.
 */
export class ReplicaJobs implements JobRunner {
  #boss: PgBoss | undefined;
  #lastFault: unknown;

  constructor(
    private readonly url: string,
    private readonly jobs: Jobs,
    private readonly observer: CaObserver,
  ) {}

  /** @throws {CaError} ERR_CA_STORE_UNUSABLE */
  async start(): Promise<void> {
    // Loaded here, since it brings schedules and calendars along, which a CA on SQLite has no use for.
    const { PgBoss } = await import('pg-boss');
    const boss = new PgBoss({ connectionString: this.url, schema, max: 2, application_name: 'nest-hsm-ca-jobs' });
    this.#boss = boss;
    // It goes on by itself when the database is back; told of once, not at every poll.
    boss.on('error', (error) => this.#faultOf(error));
    try {
      await boss.start();
    } catch (error) {
      const message = `jobs: want to make the schema ${schema} in the database, got ${(error as Error).message}`;
      throw new CaError('ERR_CA_STORE_UNUSABLE', message, { cause: error });
    }
    for (const [name, work] of Object.entries(this.jobs) as [CaJob, () => Promise<void>][]) {
      await boss.createQueue(name, {
        policy: 'exclusive',
        retryLimit: 1,
        heartbeatSeconds,
        expireInSeconds: 900,
        deleteAfterSeconds: 3_600,
      });
      await boss.work(name, { pollingIntervalSeconds: pollingSeconds }, () => this.#run(name, work));
      await boss.schedule(name, everyMinute);
      // Whoever starts looks at once for what is due, unless somebody is at it.
      await boss.send(name, {});
    }
  }

  async stop(): Promise<void> {
    await this.#boss?.stop({ graceful: true, timeout: stopMilliseconds });
  }

  /** A failure is reported, and the job is due again the next minute. */
  async #run(name: CaJob, work: () => Promise<void>): Promise<void> {
    this.#lastFault = undefined;
    try {
      await work();
    } catch (error) {
      this.observer.jobFailed?.(name, error);
    }
  }

  #faultOf(error: Error): void {
    if (this.#lastFault === error.message) return;
    this.#lastFault = error.message;
    this.observer.jobFailed?.('schedule', error);
  }
}
