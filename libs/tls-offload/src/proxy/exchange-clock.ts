import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';
import type { ParsedL7ProxyConfig } from './l7-config.js';
import { SilenceTimer } from './silence-timer.js';

/** What an exchange waits for. */
export interface ExchangeState {
  /** All of the request has come. */
  readonly isRequestComplete: boolean;
  /** The upstream has more of the request than it has taken. */
  readonly isUpstreamBehind: boolean;
  /** The client has the head of its answer. */
  readonly isAnswering: boolean;
  /** The client has more of the answer than it has taken. */
  readonly isClientBehind: boolean;
}

/** The times of one exchange: how long its request may take, and how long nothing may be heard of it. */
export class ExchangeClock {
  readonly #requestTimer: NodeJS.Timeout;
  #silence: SilenceTimer | undefined;

  /** @param fail  what time is over for */
  constructor(
    private readonly limits: ParsedL7ProxyConfig,
    private readonly state: () => ExchangeState,
    private readonly fail: (fault: TlsOffloadError) => void,
  ) {
    this.#requestTimer = setTimeout(() => this.#onRequestTimeout(), limits.requestTimeoutMilliseconds);
  }

  /** From here on an answer is waited for. */
  expectAnswer(): void {
    this.#expectLife(this.limits.responseTimeoutMilliseconds);
  }

  /** From here on more of the answer is, or that the client takes it. */
  expectMore(): void {
    this.#expectLife(this.limits.idleTimeoutMilliseconds);
  }

  /** Something has moved. */
  noteLife(): void {
    this.#silence?.noteLife();
  }

  noteEndOfRequest(): void {
    clearTimeout(this.#requestTimer);
  }

  stop(): void {
    clearTimeout(this.#requestTimer);
    this.#silence?.stop();
  }

  #expectLife(milliseconds: number): void {
    this.#silence?.stop();
    this.#silence = new SilenceTimer(milliseconds, () => this.#onSilence(milliseconds));
  }

  #onRequestTimeout(): void {
    const { isRequestComplete, isAnswering } = this.state();
    if (isRequestComplete || isAnswering) return;
    const { requestTimeoutMilliseconds } = this.limits;
    const limit = `client: want all of its request within ${requestTimeoutMilliseconds} ms, got less`;
    this.fail(new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_TIMEOUT', limit));
  }

  #onSilence(milliseconds: number): void {
    const [code, who] = silentOne(this.state());
    this.fail(new TlsOffloadError(code, `${who} within ${milliseconds} ms, got none`));
  }
}

function silentOne(state: ExchangeState): [TlsOffloadErrorCode, string] {
  const { isAnswering, isClientBehind, isRequestComplete, isUpstreamBehind } = state;
  if (isAnswering && isClientBehind) return ['ERR_TLS_OFFLOAD_PEER_NOT_READING', 'client: want it to read'];
  if (isAnswering) return ['ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', 'upstream: want more of its answer'];
  if (!isRequestComplete && !isUpstreamBehind) {
    return ['ERR_TLS_OFFLOAD_REQUEST_TIMEOUT', 'client: want more of its request'];
  }
  return ['ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', 'upstream: want an answer'];
}
