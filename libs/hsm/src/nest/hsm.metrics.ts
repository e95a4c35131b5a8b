import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { HsmLoad, HsmObserver } from '../fleet/observer.js';

/** Seconds, from a token in memory to a network HSM that is about to be given up. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The metrics of one Hsm. Several share the metrics of a registry and are told apart by the label `hsm`.
 *
 * nest_hsm_calls_total{hsm, verb, code} · nest_hsm_call_duration_seconds{hsm, verb} · nest_hsm_agent_restarts_total{hsm} ·
 * nest_hsm_calls_in_flight{hsm} · nest_hsm_calls_queued{hsm}
 */
export class HsmMetrics {
  readonly #calls: Counter;
  readonly #duration: Histogram;
  readonly #restarts: Counter;
  readonly #inFlight: LoadGauge;
  readonly #queued: LoadGauge;

  constructor(
    /** The value of the label `hsm`. */
    private readonly name: string,
    registry: Registry,
  ) {
    const registers = [registry];
    this.#calls = shared(registry, 'nest_hsm_calls_total', (name) => {
      const help = 'Calls to the HSM by verb and result: OK or an error code';
      return new Counter({ name, help, labelNames: ['hsm', 'verb', 'code'], registers });
    });
    this.#duration = shared(registry, 'nest_hsm_call_duration_seconds', (name) => {
      const help = 'How long callers waited for the HSM, in the queue and on the token';
      return new Histogram({ name, help, labelNames: ['hsm', 'verb'], buckets, registers });
    });
    this.#restarts = shared(registry, 'nest_hsm_agent_restarts_total', (name) => {
      const help = 'Token agents that crashed, hung or lost their HSM and were replaced';
      return new Counter({ name, help, labelNames: ['hsm'], registers });
    });
    this.#inFlight = shared(registry, 'nest_hsm_calls_in_flight', (name) => {
      return new LoadGauge(name, 'Calls that are with the token agent', registry);
    });
    this.#queued = shared(registry, 'nest_hsm_calls_queued', (name) => {
      return new LoadGauge(name, 'Calls that wait for a session', registry);
    });
    this.#restarts.inc({ hsm: name }, 0);
  }

  readonly callEnded: NonNullable<HsmObserver['callEnded']> = (verb, code, milliseconds) => {
    const hsm = this.name;
    this.#calls.inc({ hsm, verb, code });
    this.#duration.observe({ hsm, verb }, milliseconds / 1_000);
  };

  agentLost(): void {
    this.#restarts.inc({ hsm: this.name });
  }

  /** Reads the load whenever metrics are collected. */
  watchLoad(load: () => HsmLoad): void {
    this.#inFlight.sources.set(this.name, () => load().inFlight);
    this.#queued.sources.set(this.name, () => load().queued);
  }
}

/** The registry's own metric of that name, or a new one. */
function shared<M>(registry: Registry, name: string, make: (name: string) => M): M {
  return (registry.getSingleMetric(name) as M | undefined) ?? make(name);
}

/** A gauge that asks each Hsm when it is collected, so that calls cost nothing. */
class LoadGauge extends Gauge<'hsm'> {
  readonly sources = new Map<string, () => number>();

  constructor(name: string, help: string, registry: Registry) {
    const collect = (): void => {
      for (const [hsm, read] of this.sources) this.set({ hsm }, read());
    };
    super({ name, help, labelNames: ['hsm'], registers: [registry], collect });
  }
}
