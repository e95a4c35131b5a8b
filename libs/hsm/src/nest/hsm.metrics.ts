import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { HsmErrorCode } from '../errors.js';
import type { HsmLoad, HsmObserver, MemberStatus } from '../fleet/observer.js';

/** Seconds, from a token in memory to a network HSM that is about to be given up. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What gauges are read from. */
export interface Watched {
  readonly load: HsmLoad;
  readonly members: readonly MemberStatus[];
}

/**
 * The metrics of one Hsm. Several share the metrics of a registry and are told apart by the label `hsm`.
 *
 * Of callers: nest_hsm_calls_total{hsm, verb, code} · nest_hsm_call_duration_seconds{hsm, verb} · nest_hsm_calls_in_flight{hsm} ·
 * nest_hsm_calls_queued{hsm}. Of members: nest_hsm_member_serving{hsm, member} (1 or 0) ·
 * nest_hsm_member_calls_in_flight{hsm, member} · nest_hsm_agent_restarts_total{hsm, member} ·
 * nest_hsm_calls_moved_total{hsm, member, code} (made again after that member failed them) ·
 * nest_hsm_calls_hedged_total{hsm, member} (made elsewhere too, since that member took long)
 */
export class HsmMetrics {
  readonly #calls: Counter;
  readonly #duration: Histogram;
  readonly #restarts: Counter;
  readonly #moved: Counter;
  readonly #hedged: Counter;
  readonly #gauges: readonly WatchingGauge[];

  constructor(
    /** The value of the label `hsm`. */
    private readonly name: string,
    registry: Registry,
  ) {
    const counter = (metric: string, help: string, labelNames: string[]): Counter =>
      shared(registry, metric, () => new Counter({ name: metric, help, labelNames, registers: [registry] }));
    const gauge = (metric: string, help: string, read: Reader): WatchingGauge =>
      shared(registry, metric, () => new WatchingGauge(metric, help, registry, read));
    const ofMembers = ['hsm', 'member'];
    this.#calls = counter('nest_hsm_calls_total', 'Calls to the HSM by verb and result: OK or an error code', [
      'hsm',
      'verb',
      'code',
    ]);
    const duration = 'nest_hsm_call_duration_seconds';
    this.#duration = shared(registry, duration, () => {
      const help = 'How long callers waited for the HSM, in the queue and on the token';
      return new Histogram({ name: duration, help, labelNames: ['hsm', 'verb'], buckets, registers: [registry] });
    });
    const lost = 'Token agents that crashed, hung or lost their HSM and were replaced';
    this.#restarts = counter('nest_hsm_agent_restarts_total', lost, ofMembers);
    const moved = 'Calls that a member failed with that code and that were made again';
    this.#moved = counter('nest_hsm_calls_moved_total', moved, [...ofMembers, 'code']);
    const hedged = 'Calls that were made on a second member too, since the first took long';
    this.#hedged = counter('nest_hsm_calls_hedged_total', hedged, ofMembers);
    this.#gauges = [
      gauge('nest_hsm_calls_in_flight', 'Calls that are with a token agent', ({ load }) => [[{}, load.inFlight]]),
      gauge('nest_hsm_calls_queued', 'Calls that wait for a session', ({ load }) => [[{}, load.queued]]),
      gauge('nest_hsm_member_serving', 'Whether the member serves calls', ({ members }) =>
        members.map(({ name: member, state }) => [{ member }, Number(state === 'serving')]),
      ),
      gauge('nest_hsm_member_calls_in_flight', "Calls that are with the member's agent", ({ members }) =>
        members.map(({ name: member, inFlight }) => [{ member }, inFlight]),
      ),
    ];
  }

  readonly callEnded: NonNullable<HsmObserver['callEnded']> = (verb, code, milliseconds) => {
    const hsm = this.name;
    this.#calls.inc({ hsm, verb, code });
    this.#duration.observe({ hsm, verb }, milliseconds / 1_000);
  };

  agentLost(member: string): void {
    this.#restarts.inc({ hsm: this.name, member });
  }

  callMoved(member: string, code: HsmErrorCode): void {
    this.#moved.inc({ hsm: this.name, member, code });
  }

  callHedged(member: string): void {
    this.#hedged.inc({ hsm: this.name, member });
  }

  /** Reads load and members whenever metrics are collected. */
  watch(hsm: Watched): void {
    for (const { name: member } of hsm.members) this.#restarts.inc({ hsm: this.name, member }, 0);
    for (const gauge of this.#gauges) gauge.sources.set(this.name, hsm);
  }
}

/** The registry's own metric of that name, or a new one. */
function shared<M>(registry: Registry, name: string, make: () => M): M {
  return (registry.getSingleMetric(name) as M | undefined) ?? make();
}

type Reader = (hsm: Watched) => readonly (readonly [{ member?: string }, number])[];

/** A gauge that asks each Hsm when it is collected, so that calls cost nothing. */
class WatchingGauge extends Gauge<'hsm' | 'member'> {
  readonly sources = new Map<string, Watched>();

  constructor(name: string, help: string, registry: Registry, read: Reader) {
    const collect = (): void => {
      this.reset();
      for (const [hsm, watched] of this.sources) {
        for (const [labels, value] of read(watched)) this.set({ hsm, ...labels }, value);
      }
    };
    super({ name, help, labelNames: ['hsm', 'member'], registers: [registry], collect });
  }
}
