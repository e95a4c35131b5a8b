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
 * Runs each job every minute, never twice at once. A failure is reported and the job tried again the next minute: every job
 * is due long before it is late.
 */
export class Schedule implements JobRunner {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;

  constructor(
    private readonly jobs: Jobs,
    private readonly observer: CaObserver,
  ) {}

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#isRunning) this.#running = this.#run();
    }, intervalMilliseconds);
    this.#timer.unref();
  }

  /** Starts nothing more and waits for what is running. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (const job of Object.keys(this.jobs) as CaJob[]) {
      try {
        await this.jobs[job]?.();
      } catch (error) {
        this.observer.jobFailed?.(job, error);
      }
    }
    this.#isRunning = false;
  }
}
