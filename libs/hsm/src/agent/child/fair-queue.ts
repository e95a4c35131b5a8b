import type { Caller } from './caller.js';

/**
 * Waiting in turns: roles take turns, within a role its connections do, and within a connection who came first is first. So
 * whoever floods its own queue waits behind itself alone.
 */
export class FairQueue<T> {
  readonly #roles = new Turns<Turns<T[]>>();
  #length = 0;

  constructor(private readonly callerOf: (item: T) => Caller) {}

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    const caller = this.callerOf(item);
    const callers = this.#roles.enter(caller.role, () => new Turns());
    callers.enter(caller, () => []).push(item);
    this.#length++;
  }

  shift(): T | undefined {
    const [role, callers] = this.#roles.next() ?? [];
    const [caller, items] = callers?.next() ?? [];
    if (role === undefined || callers === undefined || caller === undefined || items === undefined) return undefined;
    const item = items.shift();
    if (items.length === 0) callers.leave(caller);
    if (callers.isEmpty) this.#roles.leave(role);
    this.#length--;
    return item;
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
