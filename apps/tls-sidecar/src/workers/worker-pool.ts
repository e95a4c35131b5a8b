import cluster from 'node:cluster';
import { type BeforeApplicationShutdown, Logger } from '@nestjs/common';
import { changedSettings } from '@nest-hsm/hsm';
import { AggregatorRegistry, Counter, Gauge, type Registry } from 'prom-client';
import { type Config, settingsAwaitingRestart } from '../config.js';
import { SidecarError } from '../faults.js';
import type { HealthReport, Operations, Reloaded } from '../operations.js';
import type { ActivatedSockets } from '../serving/activation.js';
import type { Calls } from './messages.js';
import { Worker } from './worker.js';

const askMilliseconds = 3_000;
/** Longer than a worker gives itself to prepare. */
const reloadMilliseconds = 90_000;
const firstBackOffMilliseconds = 250;
const longestBackOffMilliseconds = 30_000;
/** A worker that lived so long did not die of how it started. */
const settledMilliseconds = 30_000;
/** On top of what connections get: the HSM's calls end too. */
const endMilliseconds = 30_000;

type Metrics = readonly object[];
type Metric = { readonly name: string; readonly type: string };

/**
 * Several processes that share the listeners and serve alike, and are operated as one. Each accepts for itself from sockets that
 * this process opened; so one that dies takes its own connections with it and none that wait. It is replaced, at once when it had
 * served for a while, later and later when its successors die as well.
 */
export class WorkerPool implements Operations, BeforeApplicationShutdown {
  readonly #logger = new Logger('workers');
  readonly #workers = new Set<Worker>();
  readonly #restarts: Counter;
  /** What workers that are gone had counted, so that no total ever falls. */
  #departed: Metrics = [];
  readonly #seen = new WeakMap<Worker, Metrics>();
  #config: Config;
  #draining = false;
  #reloading: Promise<unknown> = Promise.resolve();
  readonly #replacing = new Set<NodeJS.Timeout>();

  constructor(
    private readonly started: Config,
    private readonly activated: ActivatedSockets,
    private readonly read: () => Config,
    /** Of this process' own metrics. */
    private readonly registry: Registry,
  ) {
    this.#config = started;
    // Workers accept from one queue that the kernel keeps: nothing is lost in it with one of them, and nothing passes through here.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    const registers = [registry];
    const name = (suffix: string): string => `nest_hsm_tls_${suffix}`;
    this.#restarts = new Counter({
      name: name('worker_restarts_total'),
      help: 'Workers that were replaced',
      registers,
    });
    const workers = this.#workers;
    new Gauge({
      ...{ name: name('workers'), help: 'Processes that serve', registers },
      collect() {
        this.set([...workers].filter(({ hasServed, hasEnded }) => hasServed && !hasEnded).length);
      },
    });
  }

  /**
   * Returns when all serve. The first one alone first: what keeps it from starting is said once, and the key is made once.
   * @throws {SidecarError} ERR_SIDECAR_WORKER when that one ends, having said why
   */
  async start(): Promise<void> {
    const first = this.#launch();
    await Promise.race([first.serving, first.ended]);
    if (this.#draining) return;
    if (!first.hasServed)
      throw new SidecarError('ERR_SIDECAR_WORKER', 'want a worker that starts, got the end of the first');
    this.#keep(first, 0);
    const others = Array.from({ length: this.#config.workers - 1 }, () => this.#launch());
    for (const worker of others) this.#keep(worker, 0);
    await Promise.all(others.map((worker) => Promise.race([worker.serving, worker.ended])));
    this.#logger.log(`${this.#config.workers} workers serve`);
  }

  async health(): Promise<HealthReport> {
    const reports = await this.#askAll('health');
    const workers = reports.map((each) =>
      'answer' in each ? each.answer.report : { status: 'error', error: each.fault },
    );
    return { isUp: reports.some((each) => 'answer' in each && each.answer.isUp), report: { workers } };
  }

  async isReady(): Promise<boolean> {
    if (this.#draining) return false;
    return (await this.#askAll('isReady')).some((each) => 'answer' in each && each.answer);
  }

  async metrics(): Promise<string> {
    const own = await this.registry.getMetricsAsJSON();
    const answers = await Promise.all(
      [...this.#workers].map(async (worker) => {
        const metrics = await worker.ask('metrics', null, askMilliseconds).catch(() => undefined);
        if (metrics !== undefined) this.#seen.set(worker, metrics);
        // One that does not answer now has not uncounted anything.
        return metrics ?? totals(this.#seen.get(worker) ?? []);
      }),
    );
    return AggregatorRegistry.aggregate([...answers, this.#departed, own]).metrics();
  }

  async status(): Promise<object> {
    const answers = await this.#askAll('status');
    const workers = answers.map((each) => ('answer' in each ? each.answer : { error: each.fault }));
    return { pid: process.pid, state: this.#draining ? 'draining' : 'serving', workers };
  }

  /** Every worker makes ready, then every worker changes; one that cannot keeps all others from it. */
  reload(): Promise<Reloaded> {
    const reloading = this.#reloading.then(() => this.#reload());
    this.#reloading = reloading.catch(() => undefined);
    return reloading;
  }

  drain(): void {
    process.kill(process.pid, 'SIGTERM');
  }

  /** Before /health and /metrics stop. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#draining = true;
    for (const timer of this.#replacing) clearTimeout(timer);
    const workers = [...this.#workers];
    for (const worker of workers) worker.kill('SIGTERM');
    const timer = setTimeout(
      () => workers.forEach((worker) => worker.kill('SIGKILL')),
      this.#config.drainSeconds * 1_000 + endMilliseconds,
    );
    await Promise.all(workers.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  async #reload(): Promise<Reloaded> {
    if (this.#draining)
      throw new SidecarError('ERR_SIDECAR_ENDING', 'reload: want it while clients are served, got it at the end');
    const config = this.read();
    const changed = changedSettings(this.#config, config);
    const awaitingRestart = settingsAwaitingRestart(this.started, config);
    const workers = [...this.#workers];
    const prepared = await Promise.allSettled(workers.map((each) => each.ask('prepare', config, reloadMilliseconds)));
    // One that died meanwhile is replaced by one that has the configuration it starts with.
    const refused = prepared.find((each, index) => each.status === 'rejected' && !workers[index].hasEnded);
    if (refused?.status === 'rejected') {
      await Promise.allSettled(workers.map((each) => each.ask('abort', null, askMilliseconds)));
      throw refused.reason;
    }
    this.#config = config;
    await Promise.allSettled(workers.map((each) => each.ask('commit', null, reloadMilliseconds)));
    // Those that came while the others made ready began with what was before.
    for (const late of [...this.#workers].filter((each) => !workers.includes(each))) late.kill('SIGTERM');
    return { changed, awaitingRestart };
  }

  #launch(): Worker {
    const worker = new Worker();
    this.#workers.add(worker);
    void worker.ended.then(() => this.#forget(worker));
    worker.tell('start', { config: this.#config, activated: this.activated });
    return worker;
  }

  /** Replaces a worker when it ends. @param failures  how many before it died soon */
  #keep(worker: Worker, failures: number): void {
    const begun = performance.now();
    void worker.ended.then((how) => {
      if (this.#draining) return;
      const soon = performance.now() - begun < settledMilliseconds;
      const count = soon ? failures + 1 : 0;
      const milliseconds =
        count === 0 ? 0 : Math.min(firstBackOffMilliseconds * 2 ** (count - 1), longestBackOffMilliseconds);
      this.#logger.warn(`worker ${worker.pid} ended (${how}); another one starts in ${milliseconds} ms`);
      const timer = setTimeout(() => {
        this.#replacing.delete(timer);
        this.#restarts.inc();
        this.#keep(this.#launch(), count);
      }, milliseconds);
      this.#replacing.add(timer);
    });
  }

  #forget(worker: Worker): void {
    this.#workers.delete(worker);
    const left = totals(this.#seen.get(worker) ?? []);
    if (left.length > 0) void this.#add(left);
  }

  async #add(left: Metrics): Promise<void> {
    const sum = AggregatorRegistry.aggregate([this.#departed, left] as object[][]);
    this.#departed = await sum.getMetricsAsJSON();
  }

  async #askAll<V extends 'health' | 'isReady' | 'status'>(
    verb: V,
  ): Promise<({ readonly answer: Calls[V]['answer'] } | { readonly fault: string })[]> {
    return Promise.all(
      [...this.#workers].map((worker) =>
        worker.ask(verb, null, askMilliseconds).then(
          (answer) => ({ answer }),
          (error: Error) => ({ fault: error.message }),
        ),
      ),
    );
  }
}

/** What only grows. */
function totals(metrics: Metrics): Metrics {
  return metrics.filter((each) => (each as Metric).type === 'counter' || (each as Metric).type === 'histogram');
}
