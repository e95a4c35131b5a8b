import { type TrafficClass } from '../traffic-class.js';
import type { Caller, CallerRole } from './caller.js';

/** Who waits, and for what. */
interface Waiting {
  readonly caller: Caller;
  readonly trafficClass: TrafficClass;
}

/**
 * Who is next: of the roles that wait the one that has the fewest sessions, in turns where several have as few; within a role its
 * classes of traffic have their shares, within a class connections take turns, and within a connection who came first is first. So
 * whoever floods its own queue waits behind itself alone; a role gains nothing by what it says of the classes of its calls; and one
 * whose calls take seconds has no more of the sessions than one whose calls take a millisecond.
 */
export class FairQueue<T extends object> {
  readonly #roles = new Turns<CallerRole, RoleQueue<T>>();

  constructor(private readonly waitingOf: (item: T) => Waiting) {}

  get isEmpty(): boolean {
    return this.#roles.isEmpty;
  }

  /** How many of that role wait. */
  lengthOf(role: CallerRole): number {
    return this.#roles.get(role)?.length ?? 0;
  }

  push(item: T): void {
    const { caller, trafficClass } = this.waitingOf(item);
    this.#roles.enter(caller.role, () => new RoleQueue(caller.role)).push(item, caller, trafficClass);
  }

  shift(): T | undefined {
    const item = this.#roles.next(({ shares }) => shares.held)?.first();
    if (item !== undefined) this.remove(item);
    return item;
  }

  /** @returns whether it waited */
  remove(item: T): boolean {
    const { caller, trafficClass } = this.waitingOf(item);
    const role = this.#roles.get(caller.role);
    if (role?.remove(item, caller, trafficClass) !== true) return false;
    if (role.length === 0) this.#roles.leave(caller.role);
    return true;
  }
}

/** Those of one role. */
class RoleQueue<T> {
  length = 0;
  readonly #classes = new Map<TrafficClass, Turns<Caller, T[]>>();

  constructor(private readonly role: CallerRole) {}

  push(item: T, caller: Caller, trafficClass: TrafficClass): void {
    const callers = this.#classes.get(trafficClass) ?? new Turns();
    this.#classes.set(trafficClass, callers);
    callers.enter(caller, () => []).push(item);
    this.length++;
  }

  /** Who is served next. Its connection has had its turn. */
  first(): T | undefined {
    const next = this.role.shares.next((each) => this.#classes.has(each));
    return next && this.#classes.get(next)?.next()?.[0];
  }

  remove(item: T, caller: Caller, trafficClass: TrafficClass): boolean {
    const callers = this.#classes.get(trafficClass);
    const items = callers?.get(caller);
    const index = items?.indexOf(item) ?? -1;
    if (callers === undefined || items === undefined || index < 0) return false;
    items.splice(index, 1);
    this.length--;
    if (items.length === 0) callers.leave(caller);
    if (callers.isEmpty) this.#classes.delete(trafficClass);
    return true;
  }
}

/** Those who wait, in the order of their turns: a Map keeps the order in which its keys came. */
class Turns<K, V> {
  readonly #waiting = new Map<K, V>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  enter(key: K, make: () => V): V {
    const present = this.#waiting.get(key);
    if (present !== undefined) return present;
    const value = make();
    this.#waiting.set(key, value);
    return value;
  }

  get(key: K): V | undefined {
    return this.#waiting.get(key);
  }

  /**
   * Whose turn it is; its next one comes after everybody else's.
   * @param held  only those for which it is the least have a turn
   */
  next(held: (key: K) => number = () => 0): V | undefined {
    let first: [K, V] | undefined;
    let least = Infinity;
    for (const each of this.#waiting) {
      const its = held(each[0]);
      if (its < least) [first, least] = [each, its];
    }
    if (first === undefined) return undefined;
    if (this.#waiting.size > 1) {
      this.#waiting.delete(first[0]);
      this.#waiting.set(...first);
    }
    return first[1];
  }

  leave(key: K): void {
    this.#waiting.delete(key);
  }
}
