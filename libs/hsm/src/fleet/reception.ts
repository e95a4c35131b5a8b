import { maximumCorrelationIdBytes, type Request, slowVerbs, type Verb, verbFacts } from '../agent/protocol.js';
import { trafficClasses } from '../agent/traffic-class.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import type { FleetCallOptions } from './call-options.js';
import { Call, type CallCode, type CallTerms } from './call.js';
import { aborted, closed } from './failure.js';
import type { GuardedObserver } from './observer.js';
import { trafficClassOf } from '../agent/traffic-class-of.js';

/** Takes calls in: refuses those that cannot be, sets the terms of the others, and counts them until they are settled. */
export class Reception {
  #unsettled = 0;
  #isClosed = false;
  #drained: (() => void) | undefined;

  constructor(
    private readonly config: ParsedHsmConfig,
    private readonly observer: GuardedObserver,
  ) {}

  /** @returns why a call with these options is not taken */
  refusal({ deadlineMilliseconds, signal, correlationId, trafficClass }: FleetCallOptions): HsmError | undefined {
    if (this.#isClosed) return closed(this.config.name);
    if (signal?.aborted === true) return aborted(this.config.name, signal);
    if (deadlineMilliseconds !== undefined && !(deadlineMilliseconds >= 0)) {
      return invalid(`deadline: want milliseconds, got ${deadlineMilliseconds}`);
    }
    if (trafficClass !== undefined && !trafficClasses.includes(trafficClass)) {
      return invalid(`traffic class: want one of ${trafficClasses.join(', ')}`);
    }
    if (correlationId !== undefined && Buffer.byteLength(correlationId) > maximumCorrelationIdBytes) {
      return invalid(`correlation id: want at most ${maximumCorrelationIdBytes} bytes`);
    }
    return undefined;
  }

  take(
    verb: Verb,
    request: Request<Verb>,
    options: FleetCallOptions,
    attemptsAllowed: number,
    only?: CallTerms['only'],
  ): Call {
    this.#unsettled++;
    const startedAt = performance.now();
    const terms: CallTerms = {
      only,
      attemptsAllowed,
      startedAt,
      deadline: startedAt + (options.deadlineMilliseconds ?? this.#deadlineMilliseconds(verb)),
      correlationId: options.correlationId ?? '',
      signal: options.signal,
      onLingering: options.onLingering,
      mayHedge: options.hedge === true && verbFacts[verb].retrySafe,
      // What is for one member alone is asked by those who look after it.
      trafficClass: options.trafficClass ?? (only === undefined ? trafficClassOf(verb) : 'management'),
      purpose: options.purpose ?? 'application',
    };
    return new Call(verb, request, terms, this.#ended);
  }

  /** From now on every call is refused. */
  close(): void {
    this.#isClosed = true;
  }

  /** Waits until every call is settled, at most so long. */
  settled(milliseconds: number): Promise<void> {
    if (this.#unsettled === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly #ended = (call: Call, code: CallCode): void => {
    if (this.observer.callEnded !== undefined) this.#tell(call, code);
    if (--this.#unsettled === 0) this.#drained?.();
  };

  #tell(call: Call, code: CallCode): void {
    const { verb, startedAt, trafficClass, purpose, correlationId, attempts } = call;
    const now = performance.now();
    this.observer.callEnded?.({
      verb,
      code,
      milliseconds: now - startedAt,
      queuedMilliseconds: (call.sentAt ?? now) - startedAt,
      trafficClass,
      purpose,
      client: this.config.client,
      correlationId,
      keyId: keyOf(call),
      member: call.member?.name,
      attempts,
    });
  }

  /** Making an RSA-4096 key takes seconds, so its callers wait as long as the token may take. */
  #deadlineMilliseconds(verb: Verb): number {
    const { deadlineMilliseconds, generateHangMilliseconds } = this.config;
    return slowVerbs.has(verb) ? Math.max(deadlineMilliseconds, generateHangMilliseconds) : deadlineMilliseconds;
  }
}

/** The one key that it uses, destroys or makes. */
function keyOf({ keyId, request }: Call): KeyId | undefined {
  const { id, key } = request as { id?: KeyId; key?: { id: KeyId } };
  return keyId ?? id ?? key?.id;
}

export function invalid(fault: string, cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_ARGUMENT_INVALID', fault, { cause });
}
