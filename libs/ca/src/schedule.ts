import type { CaJob, CaObserver } from './observer.js';

const intervalMilliseconds = 60_000;

export type Jobs = Readonly<Partial<Record<CaJob, () => Promise<void>>>>;

/** What runs jobs again and again. */
export interface JobRunner {
  start(): void | Promise<void>;
  /** Starts nothing more and waits for what is running. */
  stop(): Promise<void>;
}

/** Makes what runs jobs of which one replica at a time is enough. */
export type SharedJobs = (jobs: Jobs, observer: CaObserver) => JobRunner;

/**
 * Runs each job every minute, never twice at once, and none waits for another: a webhook that hangs keeps no CRL from being made. A
 * failure is reported and the job tried again the next minute: every job is due long before it is late.
 */
export class Schedule implements JobRunner {
  #timer: NodeJS.Timeout | undefined;
  readonly #running = new Map<CaJob, Promise<void>>();

  constructor(
    private readonly jobs: Jobs,
    private readonly observer: CaObserver,
  ) {}

  start(): void {
    this.#timer = setInterval(() => {
      for (const job of Object.keys(this.jobs) as CaJob[])
        if (!this.#running.has(job)) this.#running.set(job, this.#run(job));
    }, intervalMilliseconds);
    this.#timer.unref();
  }

  /** Starts nothing more and waits for what is running. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running.values());
  }

  async #run(job: CaJob): Promise<void> {
    try {
      await this.jobs[job]?.();
    } catch (error) {
      this.observer.jobFailed?.(job, error);
    } finally {
      this.#running.delete(job);
    }
  }
}
