import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type BeforeApplicationShutdown, Logger } from '@nestjs/common';
import { changedSettings, type Hsm } from '@nest-hsm/hsm';
import type { Credential, SessionTicketStatus, TlsOffloadError } from '@nest-hsm/tls-offload';
import { type Config, type ListenerConfig, settingsAwaitingRestart } from '../config.js';
import { SidecarError } from '../faults.js';
import type { ActivatedSockets } from './activation.js';
import { Certificates, type CertificateStatus } from './certificates.js';
import { Lane, type LaneObservers, type LaneStatistics, type LaneStores } from './lane.js';
import { Listener } from './listener.js';
import { Tickets } from './tickets.js';

export type SidecarState = 'starting' | 'serving' | 'draining';

/** A configuration that everything is ready for. */
export interface Prepared {
  /** Paths of settings that change with it. */
  readonly changed: readonly string[];
  /** Settings that take a restart, of those that are not as they were at the start. */
  readonly awaitingRestart: readonly string[];
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** What a reload may take to get certificates that are new. */
const reloadMilliseconds = 60_000;

/** What the sidecar is for: keeps its certificates, takes TLS connections and forwards what is in them. */
export class Sidecar implements BeforeApplicationShutdown {
  readonly #logger = new Logger('tls-sidecar');
  readonly #shutdown = new AbortController();
  readonly #ending = new Promise((resolve) => this.#shutdown.signal.addEventListener('abort', resolve));
  #state: SidecarState = 'starting';
  #config: Config;
  /** Empty: a sidecar that has no directory of its own forgets. */
  readonly #crlDirectories: Pick<LaneStores, 'crlDirectory' | 'upstreamCrlDirectory'>;
  #certificates = Certificates.none;
  #tickets = Tickets.none;
  /** By name. */
  #listeners: ReadonlyMap<string, Listener> = new Map();
  /** Of listeners that are not configured any more, until their connections have ended. */
  readonly #leaving = new Set<Listener>();
  #starting = new AbortController();

  constructor(
    private readonly started: Config,
    private readonly hsm: Hsm,
    private readonly observers: LaneObservers,
    private readonly activated: ActivatedSockets,
  ) {
    this.#config = started;
    const { stateDirectory } = started.hsm;
    this.#crlDirectories =
      stateDirectory === undefined
        ? {}
        : {
            crlDirectory: join(stateDirectory, 'client-crls'),
            upstreamCrlDirectory: join(stateDirectory, 'upstream-crls'),
          };
  }

  /**
   * Returns once clients are served, or when the application shuts down before. An issuer or a token that is away is waited for.
   * @throws {SidecarError | TlsOffloadError | HsmError} what waiting would not mend
   */
  async start(): Promise<void> {
    while (!this.#shutdown.signal.aborted) {
      const { signal } = this.#starting;
      try {
        const next = await this.#build(this.#config, 'wait', AbortSignal.any([signal, this.#shutdown.signal]));
        if (signal.aborted || this.#shutdown.signal.aborted) await next.abort();
        else return await next.commit();
      } catch (error) {
        if (!signal.aborted && !this.#shutdown.signal.aborted) throw error;
      }
    }
  }

  get state(): SidecarState {
    return this.#state;
  }

  get certificates(): Readonly<Record<string, CertificateStatus>> {
    return this.#certificates.status;
  }

  /** Undefined: none are configured. */
  get sessionTickets(): SessionTicketStatus | undefined {
    return this.#tickets.status;
  }

  /** By listener. */
  get statistics(): Readonly<Record<string, LaneStatistics & { readonly address: string }>> {
    const all = [...this.#leaving, ...this.#listeners.values()];
    return Object.fromEntries(
      all.map((listener) => [listener.config.name, { ...listener.statistics, address: listener.address }]),
    );
  }

  /**
   * Makes everything ready for another configuration, and changes nothing that clients see.
   * @throws {SidecarError | TlsOffloadError | HsmError} why it cannot be; everything is as before then
   */
  async prepare(config: Config): Promise<Prepared> {
    if (this.#state === 'draining') throw ending();
    const before = this.#config;
    const changed = changedSettings(before, config);
    const awaitingRestart = settingsAwaitingRestart(this.started, config);
    await this.hsm.setMembers(config.hsm.members);
    const back = (): Promise<void> => this.hsm.setMembers(before.hsm.members);
    try {
      // While it starts nothing is served that could be kept.
      const signal = AbortSignal.any([AbortSignal.timeout(reloadMilliseconds), this.#shutdown.signal]);
      const next = this.#state === 'starting' ? undefined : await this.#build(config, 'once', signal);
      return {
        changed,
        awaitingRestart,
        commit: async () => {
          if (this.#state === 'draining') {
            await next?.abort();
            throw ending();
          }
          this.#config = config;
          if (next !== undefined) return next.commit();
          this.#starting.abort();
          this.#starting = new AbortController();
        },
        abort: async () => {
          await next?.abort();
          await back();
        },
      };
    } catch (error) {
      await back();
      throw error;
    }
  }

  /** Looks for newer certificates, authorities and CRLs now. */
  async checkCertificates(): Promise<void> {
    const listeners = [...this.#leaving, ...this.#listeners.values()];
    await Promise.all([this.#certificates.check(), ...listeners.map((each) => each.reloadAuthorities())]);
  }

  /** Accepts no more, tells clients that it ends, and waits for them as long as is configured. */
  async drain(): Promise<void> {
    if (this.#state === 'draining') return;
    if (this.#state === 'serving') this.#announceEnd();
    this.#state = 'draining';
    this.#shutdown.abort();
    await this.#certificates.stopUnless(Certificates.none);
    const graceMilliseconds = this.#config.drainSeconds * 1_000;
    const listeners = [...this.#leaving, ...this.#listeners.values()];
    await Promise.all(listeners.map((listener) => listener.close(graceMilliseconds)));
    await this.#tickets.stopUnless(Tickets.none);
  }

  /** Before the Hsm closes. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.drain();
  }

  async #build(
    config: Config,
    patience: 'once' | 'wait',
    signal: AbortSignal,
  ): Promise<Omit<Prepared, 'changed' | 'awaitingRestart'>> {
    const replaced = (after: Credential, before: Credential): void => this.#serveRenewed(after, before);
    const certificates = await this.#certificates.next(config, this.hsm, { patience, signal, replaced });
    let tickets = this.#tickets;
    const lanes = new Map<Listener, Lane>();
    const opened: Listener[] = [];
    const listeners = new Map<string, Listener>();
    const abort = async (): Promise<void> => {
      await Promise.all(opened.map((listener) => listener.close(0)));
      await Promise.all([...lanes].map(([listener, lane]) => listener.discard(lane)));
      await certificates.stopUnless(this.#certificates);
      await tickets.stopUnless(this.#tickets);
    };
    const failed = ({ code }: TlsOffloadError): void => this.observers.metrics.upkeepFailed('', code);
    try {
      tickets = await tickets.next(config.sessionTickets, this.hsm, { patience, failed });
      const stores = { tickets: tickets.served, ...this.#crlDirectories };
      for (const each of config.listeners) {
        const credentials = certificates.of(each);
        const known = [...this.#listeners.values()].find(({ config: its }) =>
          isDeepStrictEqual(its.listen, each.listen),
        );
        const offered = [each, credentials, this.observers, stores] as const;
        if (known !== undefined) lanes.set(known, known.laneFor(...offered));
        const listener = known ?? (await Listener.open(new Lane(...offered), this.activated));
        if (known === undefined) opened.push(listener);
        listeners.set(each.name, listener);
      }
    } catch (error) {
      await abort();
      throw error;
    }
    return { abort, commit: () => this.#take(certificates, tickets, listeners, lanes) };
  }

  /** Nothing in here fails: all of it has been made before. */
  async #take(
    certificates: Certificates,
    tickets: Tickets,
    listeners: ReadonlyMap<string, Listener>,
    lanes: ReadonlyMap<Listener, Lane>,
  ): Promise<void> {
    const [before, ticketsBefore, left] = [this.#certificates, this.#tickets, [...this.#listeners.values()]];
    const goodbyes = [...lanes].map(([listener, lane]) => listener.take(lane));
    for (const listener of listeners.values()) listener.serve();
    this.#certificates = certificates;
    this.#tickets = tickets;
    this.#listeners = listeners;
    this.#state = 'serving';
    this.#serveCertificates();
    const kept = new Set(listeners.values());
    for (const listener of left.filter((each) => !kept.has(each))) {
      this.#leaving.add(listener);
      goodbyes.push(listener.leave().then(() => void this.#leaving.delete(listener)));
    }
    for (const { config, address } of listeners.values()) {
      this.#warnOfForgottenCrls(config);
      this.#logger.log(`TLS on ${address} (${config.name}): ${config.l4 === undefined ? 'L7' : 'L4'}`);
    }
    await before.stopUnless(certificates, Promise.race([Promise.all(goodbyes), this.#ending]));
    await ticketsBefore.stopUnless(tickets);
  }

  #announceEnd(): void {
    const connections = Object.values(this.statistics).reduce(
      (sum, { handshaking, open }) => sum + handshaking + open,
      0,
    );
    this.#logger.log(`ends: accepts no more, and gives ${connections} connections ${this.#config.drainSeconds} s`);
  }

  #warnOfForgottenCrls({ name, tls, l7 }: ListenerConfig): void {
    const asked = [tls.clientCertificates, ...Object.values(tls.clientCertificatesByName ?? {}), l7?.upstreamTls];
    if (this.#crlDirectories.crlDirectory !== undefined || asked.every((each) => (each?.crlFiles ?? []).length === 0))
      return;
    const why = 'a restart would take a CRL older than the one in force, and so admit who was revoked';
    this.#logger.warn(`listener ${name}: want hsm.stateDirectory with crlFiles, got none: ${why}`);
  }

  /** Listeners and lanes that leave have upstreams, too. */
  #serveRenewed(after: Credential, before: Credential): void {
    this.#serveCertificates();
    for (const listener of [...this.#leaving, ...this.#listeners.values()]) {
      for (const { message } of listener.renewShown(before, after)) {
        this.#logger.error(`listener ${listener.config.name}: ${message}`);
      }
    }
  }

  /** What was replaced since the lanes were made, too. */
  #serveCertificates(): void {
    for (const listener of this.#listeners.values()) {
      try {
        listener.setCredentials(this.#certificates.of(listener.config));
      } catch (error) {
        // Two of one kind of key: what was served is served on.
        this.#logger.error(`listener ${listener.config.name}: ${(error as Error).message}`);
      }
    }
  }
}

function ending(): SidecarError {
  return new SidecarError('ERR_SIDECAR_ENDING', 'reload: want it while clients are served, got it at the end');
}
