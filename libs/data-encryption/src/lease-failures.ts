import type { DataEncryptionError } from './errors.js';
import { type KeyScope, scopeKey } from './key-scope.js';

interface Failure {
  readonly error: DataEncryptionError;
  readonly delay: number;
  /** Absent for a tenant: its next writer tries again. */
  readonly timer?: NodeJS.Timeout;
  readonly until: number;
}

export interface LeaseFailuresOptions {
  /** Delay before the first further attempt after a failure; it doubles up to twenty times as much. */
  readonly retryMilliseconds: number;
  readonly tryAgain: (scope: KeyScope) => void;
}

/**
 * What kept scopes from being made ready. Tables and columns are tried again in the background until that succeeds, tenants when they are
 * next written for; until then writers get the failure at once.
 */
export class LeaseFailures {
  /** By scope, in the order in which they failed. */
  readonly #failures = new Map<string, Failure>();

  constructor(private readonly options: LeaseFailuresOptions) {}

  has(key: string): boolean {
    return this.#failures.has(key);
  }

  /** The last error of a scope that has not been made ready since. */
  last(key: string): DataEncryptionError | undefined {
    return this.#failures.get(key)?.error;
  }

  /** The error of a scope that is not to be tried by its writer. */
  standing(key: string): DataEncryptionError | undefined {
    const failure = this.#failures.get(key);
    const isStanding = failure !== undefined && (failure.timer !== undefined || performance.now() < failure.until);
    return isStanding ? failure.error : undefined;
  }

  /** An attempt begins, which need not be begun by the timer. @returns what `note` has to know if it fails */
  begin(key: string): number | undefined {
    const failure = this.#failures.get(key);
    clearTimeout(failure?.timer);
    return failure?.delay;
  }

  note(scope: KeyScope, error: DataEncryptionError, lastDelay?: number): void {
    const { retryMilliseconds, tryAgain } = this.options;
    const delay = lastDelay === undefined ? retryMilliseconds : Math.min(lastDelay * 2, retryMilliseconds * 20);
    const isStanding = scope.tenant === '';
    const timer = isStanding ? setTimeout(() => tryAgain(scope), delay).unref() : undefined;
    this.#failures.set(scopeKey(scope), { error, delay, timer, until: performance.now() + delay });
  }

  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  /** Lets the oldest go for which this says so, until no more are left. */
  bound(most: number, mayGo: (key: string) => boolean): void {
    dropOldest(this.#failures, most, mayGo);
  }

  close(): void {
    for (const failure of this.#failures.values()) clearTimeout(failure.timer);
    this.#failures.clear();
  }
}

/** Drops the oldest entries that may go until no more than so many are left. */
export function dropOldest(entries: Map<string, unknown>, most: number, mayGo: (key: string) => boolean): void {
  if (entries.size <= most) return;
  for (const key of entries.keys()) {
    if (!mayGo(key)) continue;
    entries.delete(key);
    if (entries.size <= most) return;
  }
}
