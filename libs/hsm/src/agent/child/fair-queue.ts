import type { Caller } from './caller.js';

/**
 * Waiting in turns: roles take turns, within a role its connections do, and within a connection who came first is first. So
 * whoever floods its own queue waits behind itself alone.
 */
export class FairQueue<T extends object> {
  readonly #roles = new Turns<Turns<T[]>>();
  readonly #lengths = new Map<object, number>();

  constructor(private readonly callerOf: (item: T) => Caller) {}

  get isEmpty(): boolean {
    return this.#roles.isEmpty;
  }

  /** How many of that role wait. */
  lengthOf(role: object): number {
    return this.#lengths.get(role) ?? 0;
  }

  push(item: T): void {
    const caller = this.callerOf(item);
    const callers = this.#roles.enter(caller.role, () => new Turns());
    callers.enter(caller, () => []).push(item);
    this.#count(caller.role, 1);
  }

  shift(): T | undefined {
    const [, callers] = this.#roles.next() ?? [];
    const [, items] = callers?.next() ?? [];
    const [item] = items ?? [];
    if (item !== undefined) this.remove(item);
    return item;
  }

  /** @returns whether it waited */
  remove(item: T): boolean {
    const caller = this.callerOf(item);
    const callers = this.#roles.get(caller.role);
    const items = callers?.get(caller);
    const index = items?.indexOf(item) ?? -1;
    if (callers === undefined || items === undefined || index < 0) return false;
    items.splice(index, 1);
    if (items.length === 0) callers.leave(caller);
    if (callers.isEmpty) this.#roles.leave(caller.role);
    this.#count(caller.role, -1);
    return true;
  }

  #count(role: object, change: number): void {
    const length = this.lengthOf(role) + change;
    if (length === 0) this.#lengths.delete(role);
    else this.#lengths.set(role, length);
  }
}

/** Those who wait, in the order of their turns: a Map keeps the order in which its keys came. */
class Turns<V> {
  readonly #waiting = new Map<object, V>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  enter(key: object, make: () => V): V {
    const present = this.#waiting.get(key);
    if (present !== undefined) return present;
    const value = make();
    this.#waiting.set(key, value);
    return value;
  }

  get(key: object): V | undefined {
    return this.#waiting.get(key);
  }

  /** Whose turn it is; its next one comes after everybody else's. */
  next(): [object, V] | undefined {
    const [first] = this.#waiting;
    if (first !== undefined && this.#waiting.size > 1) {
      this.#waiting.delete(first[0]);
      this.#waiting.set(...first);
    }
    return first;
  }

  leave(key: object): void {
    this.#waiting.delete(key);
  }
}
