import { isDeepStrictEqual } from 'node:util';
import type { Socket } from 'node:net';
import type { Credential } from '@nest-hsm/tls-offload';
import type { ListenerConfig } from '../config.js';
import type { ActivatedSockets } from './activation.js';
import { BoundPort } from './bound-port.js';
import {
  addedByKey,
  Lane,
  type LaneCredentials,
  type LaneObservers,
  type LaneStatistics,
  type LaneStores,
  type LaneTotals,
} from './lane.js';

const nothing: LaneTotals = {
  refused: 0,
  refusedBySource: 0,
  fromClients: 0,
  fromUpstream: 0,
  resumed: 0,
  clientsRefused: {},
};

/** One address, the lane that its next connection takes, and lanes before it that still have connections. */
export class Listener {
  /**
   * Connections wait until `serve`.
   * @throws {SidecarError} ERR_SIDECAR_LISTEN, the lane closed
   */
  static async open(lane: Lane, activated: ActivatedSockets): Promise<Listener> {
    const listener = new Listener(lane);
    try {
      listener.#port = await BoundPort.open(lane.config.listen, activated, (socket) => listener.#accept(socket));
    } catch (error) {
      await lane.close(0);
      throw error;
    }
    return listener;
  }

  #port: BoundPort;
  #lane: Lane;
  /** Connections that came before it serves. */
  #early: Socket[] | undefined = [];
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
  laneFor(config: ListenerConfig, credentials: LaneCredentials, observers: LaneObservers, stores: LaneStores): Lane {
    const before = this.#lane;
    const isSame = isDeepStrictEqual([before.config, before.credentials], [config, credentials]);
    return isSame && stores.tickets === before.stores.tickets
      ? before
      : new Lane(config, credentials, observers, stores);
  }

  /** Closes one of `laneFor` that is not taken. */
  async discard(lane: Lane): Promise<void> {
    if (lane !== this.#lane) await lane.close(0);
  }

  /**
   * From the next connection on. The one before keeps its connections for as long as they like; then only its totals stay.
   * @returns when it has gone
   */
  async take(lane: Lane): Promise<void> {
    const before = this.#lane;
    if (lane === before) return;
    this.#lane = lane;
    this.#leaving.add(before);
    await before.emptied();
    this.#leaving.delete(before);
    this.#left = added(this.#left, before.statistics.totals);
    await before.close(0);
  }

  serve(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const socket of early.filter(({ destroyed }) => !destroyed)) this.#lane.accept(socket);
  }

  /** @throws {TlsOffloadError} as `Lane.setCredentials` */
  setCredentials(credentials: LaneCredentials): void {
    this.#lane.setCredentials(credentials);
  }

  /** In all its lanes. @returns why some of them did not take it */
  renewShown(before: Credential, after: Credential): Error[] {
    return this.#lanes.flatMap((lane) => {
      try {
        lane.renewShown(before, after);
        return [];
      } catch (error) {
        return [error as Error];
      }
    });
  }

  /** Those of connections under way, too. */
  async reloadAuthorities(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.reloadAuthorities()));
  }

  /** Of all its lanes; CRLs, staples and upstreams of the one that takes connections. */
  get statistics(): LaneStatistics {
    const [current, ...others] = this.#lanes.map((lane) => lane.statistics);
    const first = { ...current, totals: added(this.#left, current.totals) };
    return others.reduce(
      (sum, each) => ({
        ...sum,
        handshaking: sum.handshaking + each.handshaking,
        open: sum.open + each.open,
        pending: addedByKey(sum.pending, each.pending),
        totals: added(sum.totals, each.totals),
      }),
      first,
    );
  }

  /** Accepts no more, and closes when its connections have ended, in their own time. */
  async leave(): Promise<void> {
    this.#stopListening();
    await Promise.all(this.#lanes.map((lane) => lane.emptied()));
    await this.close(0);
  }

  /** @param graceMilliseconds  for connections to end by themselves */
  async close(graceMilliseconds: number): Promise<void> {
    this.#stopListening();
    await Promise.all(this.#lanes.map((lane) => lane.close(graceMilliseconds)));
  }

  #stopListening(): void {
    this.#port.close();
    for (const socket of this.#early ?? []) socket.destroy();
  }

  #accept(socket: Socket): void {
    if (this.#early === undefined) return this.#lane.accept(socket);
    socket.on('error', () => undefined);
    const { l4, l7 } = this.config;
    // No more than are taken when it serves.
    if (this.#early.length >= (l4?.connectionLimit ?? l7?.connectionLimit ?? 0)) socket.destroy();
    else this.#early.push(socket);
  }

  get #lanes(): Lane[] {
    return [this.#lane, ...this.#leaving];
  }
}

function added(a: LaneTotals, b: LaneTotals): LaneTotals {
  return {
    refused: a.refused + b.refused,
    refusedBySource: a.refusedBySource + b.refusedBySource,
    fromClients: a.fromClients + b.fromClients,
    fromUpstream: a.fromUpstream + b.fromUpstream,
    resumed: a.resumed + b.resumed,
    clientsRefused: addedByKey(a.clientsRefused, b.clientsRefused),
  };
}
