import { isDeepStrictEqual } from 'node:util';
import type { Socket } from 'node:net';
import type { ServedCredentials } from '@nest-hsm/tls-offload';
import type { ListenerConfig } from '../config.js';
import type { ActivatedSockets } from './activation.js';
import { BoundPort } from './bound-port.js';
import { Lane, type LaneObservers, type LaneStatistics, type LaneTotals } from './lane.js';

const nothing: LaneTotals = { refused: 0, fromClients: 0, fromUpstream: 0 };

/** One address, the lane that its next connection takes, and lanes before it that still have connections. */
export class Listener {
  /** @throws {SidecarError} ERR_SIDECAR_LISTEN */
  static async open(lane: Lane, activated: ActivatedSockets): Promise<Listener> {
    const listener = new Listener(lane);
    listener.#port = await BoundPort.open(lane.config.listen, activated, (socket: Socket) =>
      listener.#lane.accept(socket),
    );
    return listener;
  }

  #port: BoundPort;
  #lane: Lane;
  readonly #leaving = new Set<Lane>();
  #left = nothing;

  private constructor(lane: Lane) {
    this.#lane = lane;
  }

  get config(): ListenerConfig {
    return this.#lane.config;
  }

  get address(): string {
    return this.#port.address;
  }

  /** The lane for a configuration: the one there is, where nothing is different. @throws {TlsOffloadError} as `Lane` */
  laneFor(config: ListenerConfig, served: ServedCredentials, observers: LaneObservers): Lane {
    const isSame = isDeepStrictEqual([this.#lane.config, this.#lane.served], [config, served]);
    return isSame ? this.#lane : new Lane(config, served, observers);
  }

  /** From the next connection on. The one before keeps its connections for as long as they like. */
  take(lane: Lane): void {
    if (lane === this.#lane) return;
    this.#leaving.add(this.#lane);
    this.#lane = lane;
  }

  setCredentials(served: ServedCredentials): void {
    this.#lane.setCredentials(served);
  }

  /** Of all its lanes. A lane that is empty is closed, and only its totals stay. */
  get statistics(): LaneStatistics {
    for (const lane of this.#leaving) {
      const { open, handshaking, totals } = lane.statistics;
      if (open + handshaking > 0) continue;
      this.#leaving.delete(lane);
      this.#left = added(this.#left, totals);
      void lane.close(0);
    }
    return this.#lanes
      .map((lane) => lane.statistics)
      .reduce(
        (sum, each) => ({
          handshaking: sum.handshaking + each.handshaking,
          open: sum.open + each.open,
          pending: addedByKey(sum.pending, each.pending),
          totals: added(sum.totals, each.totals),
        }),
        { handshaking: 0, open: 0, pending: {}, totals: this.#left },
      );
  }

  stopListening(): void {
    this.#port.close();
  }

  /** @param graceMilliseconds  for connections to end by themselves */
  async close(graceMilliseconds: number): Promise<void> {
    this.stopListening();
    await Promise.all(this.#lanes.map((lane) => lane.close(graceMilliseconds)));
  }

  get #lanes(): Lane[] {
    return [this.#lane, ...this.#leaving];
  }
}

function added(a: LaneTotals, b: LaneTotals): LaneTotals {
  return {
    refused: a.refused + b.refused,
    fromClients: a.fromClients + b.fromClients,
    fromUpstream: a.fromUpstream + b.fromUpstream,
  };
}

function addedByKey(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const sums = { ...a };
  for (const [key, value] of Object.entries(b)) sums[key] = (sums[key] ?? 0) + value;
  return sums;
}
