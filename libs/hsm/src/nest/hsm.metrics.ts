import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { trafficClasses } from '../agent/traffic-class.js';
import type { HsmErrorCode } from '../errors.js';
import { memberStates } from '../fleet/member-state.js';
import type { AttemptEvent, CallEvent, HsmLoad, MemberStatus } from '../fleet/observer.js';

/** Seconds, from a token in memory to a network HSM that is about to be given up. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Of calls that were never sent. */
const shedCodes: ReadonlySet<string> = new Set(['ERR_HSM_OVERLOADED', 'ERR_HSM_TIMEOUT']);

/** What gauges are read from. */
export interface Watched {
  readonly load: HsmLoad;
  readonly members: readonly MemberStatus[];
}

/** The metrics of one Hsm (docs/FLEET.md lists them). Several share those of a registry and are told apart by the label `hsm`. */
export class HsmMetrics {
  readonly #calls: Counter;
  readonly #duration: Histogram;
  readonly #wait: Histogram;
  readonly #shed: Counter;
  readonly #ownCalls: Counter;
  readonly #memberDuration: Histogram;
  readonly #memberErrors: Counter;
  readonly #restarts: Counter;
  readonly #moved: Counter;
  readonly #hedged: Counter;
  readonly #gauges: readonly WatchingGauge[];

  constructor(
    /** The value of the label `hsm`. */
    private readonly name: string,
    registry: Registry,
  ) {
    const counter = (suffix: string, help: string, ...labels: string[]): Counter =>
      shared(registry, suffix, (metric) => new Counter({ ...metric, help, labelNames: ['hsm', ...labels] }));
    const histogram = (suffix: string, help: string, ...labels: string[]): Histogram =>
      shared(registry, suffix, (metric) => new Histogram({ ...metric, help, labelNames: ['hsm', ...labels], buckets }));
    const gauge = (suffix: string, help: string, read: Reader): WatchingGauge =>
      shared(registry, suffix, (metric) => new WatchingGauge({ ...metric, help }, read));

    this.#calls = counter('calls_total', 'Calls of the application by verb and result: OK or a code', 'verb', 'code');
    this.#duration = histogram('call_duration_seconds', 'How long callers waited, in the queue and on tokens', 'verb');
    this.#wait = histogram('call_wait_seconds', 'How long calls waited for a session', 'class');
    this.#shed = counter(
      'calls_shed_total',
      'Calls that were never sent: no place was left for them to wait, or they could not be answered in time',
      ...['class', 'code'],
    );
    this.#ownCalls = counter(
      'own_calls_total',
      'Calls that nobody asked for: probes, and look-ups of keys that were being made when an agent was lost',
      ...['purpose', 'verb', 'code'],
    );
    this.#memberDuration = histogram('member_call_duration_seconds', 'How long members took to answer', 'member');
    this.#memberErrors = counter(
      'member_errors_total',
      'Calls that members failed or were lost with',
      'member',
      'code',
    );
    this.#restarts = counter('agent_restarts_total', 'Agents that crashed, hung or lost their HSM', 'member');
    this.#moved = counter('calls_moved_total', 'Calls that a member failed and that were made again', 'member', 'code');
    this.#hedged = counter('calls_hedged_total', 'Calls made elsewhere too, since the member took long', 'member');
    this.#gauges = [
      gauge('calls_in_flight', 'Calls that are with a token agent', ({ load }) => [[{}, load.inFlight]]),
      gauge('calls_queued', 'Calls that wait for a session', ({ load }) =>
        trafficClasses.map((each) => [{ class: each }, load.queuedByClass[each]]),
      ),
      gauge('member_serving', 'Whether the member serves calls', ({ members }) =>
        members.map(({ name: member, state }) => [{ member }, Number(state === 'serving')]),
      ),
      gauge('member_state', 'In which state the member is', ({ members }) =>
        members.flatMap(({ name: member, state: its }) =>
          memberStates.map((state): Reading => [{ member, state }, Number(state === its)]),
        ),
      ),
      gauge('member_calls_in_flight', "Calls that are with the member's agent", ({ members }) =>
        members.map(({ name: member, inFlight }) => [{ member }, inFlight]),
      ),
    ];
  }

  callEnded(call: CallEvent): void {
    const { verb, code, milliseconds, purpose, trafficClass, queuedMilliseconds, attempts } = call;
    const hsm = this.name;
    if (purpose !== 'application') return this.#ownCalls.inc({ hsm, purpose, verb, code });
    this.#calls.inc({ hsm, verb, code });
    this.#duration.observe({ hsm, verb }, milliseconds / 1_000);
    this.#wait.observe({ hsm, class: trafficClass }, queuedMilliseconds / 1_000);
    if (attempts === 0 && shedCodes.has(code)) this.#shed.inc({ hsm, class: trafficClass, code });
  }

  attemptEnded({ member, code, milliseconds }: AttemptEvent): void {
    const hsm = this.name;
    this.#memberDuration.observe({ hsm, member }, milliseconds / 1_000);
    if (code !== 'OK') this.#memberErrors.inc({ hsm, member, code });
  }

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

interface Metric {
  readonly name: string;
  readonly registers: Registry[];
}

/** The registry's own metric of that name, or a new one. */
function shared<M>(registry: Registry, suffix: string, make: (metric: Metric) => M): M {
  const name = `nest_hsm_${suffix}`;
  return (registry.getSingleMetric(name) as M | undefined) ?? make({ name, registers: [registry] });
}

type Reading = readonly [{ member?: string; state?: string; class?: string }, number];
type Reader = (hsm: Watched) => readonly Reading[];

/** A gauge that asks each Hsm when it is collected, so that calls cost nothing. */
class WatchingGauge extends Gauge<'hsm' | 'member' | 'state' | 'class'> {
  readonly sources = new Map<string, Watched>();

  constructor(metric: Metric & { readonly help: string }, read: Reader) {
    const collect = (): void => {
      this.reset();
      for (const [hsm, watched] of this.sources) {
        for (const [labels, value] of read(watched)) this.set({ hsm, ...labels }, value);
      }
    };
    super({ ...metric, labelNames: ['hsm', 'member', 'state', 'class'], collect });
  }
}
