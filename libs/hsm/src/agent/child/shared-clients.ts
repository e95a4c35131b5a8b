import type { Socket } from 'node:net';
import { HsmError } from '../../errors.js';
import type { KeyId } from '../../key/key.js';
import { type Hello, type SharedRole, type SharingSettings, slowVerbs, type Verb } from '../protocol.js';
import { SessionShares } from '../session-shares.js';
import type { CallerRole } from './caller.js';
import { Connection } from './connection.js';
import type { RequestHandler } from './request-handler.js';

/** How long a client may take to say hello, and one that was turned away to go. */
const helloMilliseconds = 5_000;
/** Of requests of one connection: four of the largest. */
const bytesInFlight = 4 << 20;
/** How often the calls on the token are looked at. */
const beatMilliseconds = 50;
/** After a beat this late the process itself slept, and answers that came meanwhile are read first. */
const lateMilliseconds = 500;

interface Role extends SharedRole, CallerRole {
  readonly handler: RequestHandler;
  /** Connections, those that were turned away included. */
  open: number;
}

/**
 * The clients of a shared agent. The process that spawned the agent listens on the sockets and hands over what it accepts, so
 * that nobody is refused while one agent replaces another; from then on nothing stands between a client and the agent. Which
 * role a client has is that of the socket it opened.
 */
export class SharedClients {
  readonly #roles: ReadonlyMap<string, Role>;
  /** Those that are there, and those that went while calls of theirs were on the token. */
  readonly #connections = new Set<Connection>();
  #isLeaving = false;

  constructor(
    private readonly sharing: SharingSettings,
    private readonly probeKeys: ReadonlySet<KeyId>,
    handlerOf: (role: SharedRole) => RequestHandler,
  ) {
    this.#roles = new Map(
      sharing.roles.map((role) => {
        return [role.name, { ...role, handler: handlerOf(role), shares: new SessionShares(), open: 0 }];
      }),
    );
  }

  /** Takes over a connection that was accepted on the socket of that role. */
  take(roleName: string, socket: Socket): void {
    const role = this.#roles.get(roleName);
    // As many again are told why they are turned away; whoever goes on then is not told.
    const isOver = this.#isLeaving || role === undefined || role.open >= 2 * role.connections;
    if (isOver) return void socket.destroy();
    const isFull = role.open >= role.connections;
    role.open++;
    const terms = { role, callsInFlight: role.callsInFlight, bytesInFlight, probeKeys: this.probeKeys };
    const connection = new Connection(socket, (hello) => admit(hello, role, isFull), terms);
    socket.on('data', (chunk: Buffer) => connection.receive(chunk));
    this.#connections.add(connection);
    const impatience = setTimeout(() => {
      if (!connection.isWelcome) socket.destroy();
    }, helloMilliseconds);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(impatience);
      role.open--;
      connection.abandon();
    });
    socket.resume();
  }

  /**
   * Looks, from now on, for calls that the token does not come back from.
   * @param onHang  called once, with what hangs
   */
  watch(onHang: (what: string) => void): void {
    let lastBeat = performance.now();
    const beat = setInterval(() => {
      const now = performance.now();
      const slept = now - lastBeat > lateMilliseconds;
      lastBeat = now;
      this.#forgetGone();
      const verb = slept ? undefined : this.#overdue(now);
      if (verb === undefined) return;
      clearInterval(beat);
      onHang(`${verb} took longer than ${this.#limit(verb)} ms on the token`);
    }, beatMilliseconds).unref();
  }

  /** @returns whether no call is in flight any more */
  async drain(error: HsmError, graceMilliseconds: number): Promise<boolean> {
    this.#isLeaving = true;
    const drained = await Promise.all([...this.#connections].map((each) => each.drain(error, graceMilliseconds)));
    return drained.every(Boolean);
  }

  #forgetGone(): void {
    for (const connection of this.#connections) {
      if (connection.isGone && connection.isIdle) this.#connections.delete(connection);
    }
  }

  #overdue(now: number): Verb | undefined {
    for (const connection of this.#connections) {
      const verb = connection.overdue(now, (each) => this.#limit(each));
      if (verb !== undefined) return verb;
    }
    return undefined;
  }

  #limit(verb: Verb): number {
    return slowVerbs.has(verb) ? this.sharing.generateHangMilliseconds : this.sharing.hangMilliseconds;
  }
}

/** @throws {HsmError} */
function admit({ settings }: Hello, role: Role, isFull: boolean): RequestHandler {
  if (settings) throw new HsmError('ERR_HSM_PROTOCOL', 'hello: want no settings from a client of a shared agent');
  if (isFull) throw full(role);
  return role.handler;
}

function full({ name, connections }: SharedRole): HsmError {
  const message = `agent: want at most ${connections} connections of "${name}"`;
  return new HsmError('ERR_HSM_OVERLOADED', message, { retryable: true });
}
