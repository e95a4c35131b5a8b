import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '@nest-hsm/hsm';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import type { CredentialSource } from './credential-source.js';

const firstBackOffMilliseconds = 500;
/** While there is nothing to serve, somebody waits for it. */
const longestFirstBackOffMilliseconds = 30_000;
/** Tries that still fit into what is left of a certificate's life. */
const triesLeft = 8;

/** What a keeper tells of its work. */
export interface CredentialKeeperObserver {
  /** Another credential is to be served from now on: not called for the first. */
  replaced?(credential: Credential, before: Credential): void;
  /** A look failed, and what was served is served on; the next is in so many milliseconds. */
  failed?(error: Error, nextMilliseconds: number): void;
}

export interface CredentialKeeperStatus {
  /** Looks that failed since the start. */
  readonly failures: number;
  /** Absent while looks succeed. */
  readonly failing?: { readonly since: Date; readonly code: string; readonly message: string };
}

/**
 * Has a credential at any time, and the newest one that its source can give: asks it every few seconds, whatever the clock of
 * the machine does meanwhile, and after failures with growing distance, closer when the certificate's end is near. What is
 * served stays until something better has been proven.
 */
export class CredentialKeeper {
  /**
   * Waits for the first credential while the issuer or the token is away.
   * @throws {TlsOffloadError | HsmError} what waiting would not mend, or the signal's reason
   */
  static async start(
    source: CredentialSource,
    observer: CredentialKeeperObserver = {},
    signal?: AbortSignal,
  ): Promise<CredentialKeeper> {
    for (let failures = 1; ; failures++) {
      try {
        const first = (await source.look(undefined, signal)) as Credential;
        return new CredentialKeeper(source, observer, first, failures - 1);
      } catch (error) {
        signal?.throwIfAborted();
        if (!passes(error)) throw error;
        const milliseconds = backOff(failures, longestFirstBackOffMilliseconds);
        observer.failed?.(error, milliseconds);
        await pause(milliseconds, undefined, { signal });
      }
    }
  }

  #current: Credential;
  #failures: number;
  #failuresInRow = 0;
  #failing: CredentialKeeperStatus['failing'];
  readonly #stop = new AbortController();
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly source: CredentialSource,
    private readonly observer: CredentialKeeperObserver,
    first: Credential,
    failures: number,
  ) {
    this.#current = first;
    this.#failures = failures;
    // At once: what is stored may be due.
    this.#schedule(0);
  }

  get name(): string {
    return this.source.name;
  }

  get current(): Credential {
    return this.#current;
  }

  get status(): CredentialKeeperStatus {
    return { failures: this.#failures, failing: this.#failing };
  }

  /** Looks now, e.g. after the operator has mended what failed. Failures are told as always. */
  async check(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look());
    await this.#looking;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer);
    if (!this.#stop.signal.aborted) this.#timer = setTimeout(() => void this.check(), milliseconds).unref();
  }

  async #look(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const before = this.#current;
    let next = this.source.intervalMilliseconds;
    try {
      const found = await this.source.look(before, this.#stop.signal);
      this.#failuresInRow = 0;
      this.#failing = undefined;
      if (found !== undefined && !this.#stop.signal.aborted) {
        this.#current = found;
        this.observer.replaced?.(found, before);
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      next = this.#fail(error as Error);
    }
    this.#schedule(next);
  }

  #fail(error: Error): number {
    this.#failures++;
    this.#failuresInRow++;
    const { code = error.name } = error as { code?: string };
    this.#failing = { since: this.#failing?.since ?? new Date(), code, message: error.message };
    const leftMilliseconds = Math.max(0, this.#current.notAfter.getTime() - Date.now());
    // When the end has come there is no hurry any more, and a CA may be down for all of its clients.
    const inTime = leftMilliseconds === 0 ? Infinity : Math.max(leftMilliseconds / triesLeft, 1_000);
    const longest = Math.min(this.source.longestBackOffMilliseconds, inTime);
    const milliseconds = backOff(this.#failuresInRow, longest);
    this.observer.failed?.(error, milliseconds);
    return milliseconds;
  }
}

/** Doubling, and between half and all of it, so that a fleet does not come back in step. */
function backOff(failures: number, longestMilliseconds: number): number {
  const whole = Math.min(firstBackOffMilliseconds * 2 ** Math.min(failures - 1, 30), longestMilliseconds);
  return Math.round(whole * (0.5 + Math.random() / 2));
}

/** The issuer or the token is away. */
function passes(error: unknown): error is TlsOffloadError | HsmError {
  if (error instanceof HsmError) return error.retryable;
  if (!(error instanceof TlsOffloadError)) return false;
  return error.code === 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE' || error.fault === 'token';
}
