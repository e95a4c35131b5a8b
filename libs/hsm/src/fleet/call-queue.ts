import type { Call } from './call.js';

/** First in, first out, and anyone may leave in between: a linked list through the calls themselves. */
export class CallQueue {
  #first: Call | undefined;
  #last: Call | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): Call | undefined {
    return this.#first;
  }

  push(call: Call): void {
    call.previous = this.#last;
    if (this.#last === undefined) this.#first = call;
    else this.#last.next = call;
    this.#last = call;
    this.#length++;
  }

  /** To the front: calls that were under way already when their agent was lost. */
  unshift(call: Call): void {
    call.next = this.#first;
    if (this.#first === undefined) this.#last = call;
    else this.#first.previous = call;
    this.#first = call;
    this.#length++;
  }

  shift(): Call | undefined {
    const call = this.#first;
    if (call !== undefined) this.remove(call);
    return call;
  }

  /** @returns false when the call does not wait here */
  remove(call: Call): boolean {
    if (call !== this.#first && call.previous === undefined) return false;
    if (call.previous === undefined) this.#first = call.next;
    else call.previous.next = call.next;
    if (call.next === undefined) this.#last = call.previous;
    else call.next.previous = call.previous;
    call.next = call.previous = undefined;
    this.#length--;
    return true;
  }

  *[Symbol.iterator](): Generator<Call, void, undefined> {
    for (let call = this.#first; call !== undefined;) {
      // The call may be removed while it is looked at.
      const { next } = call;
      yield call;
      call = next;
    }
  }
}
