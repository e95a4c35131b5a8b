import { createHistogram } from 'node:perf_hooks';
import type { OperationName } from './operation.js';

/** Before the counting starts: connections, caches and the compiler are warm then. */
const warmUpShare = 0.1;
const nanoseconds = 1e6;

export interface Measurement {
  readonly operation: OperationName;
  /** Calls under way at any time. */
  readonly concurrency: number;
  /** Calls that were answered while it was counted, or those after it if none were: a pair of RSA-4096 takes seconds. */
  readonly calls: number;
  /** Calls that failed, by code; they are in no other figure. */
  readonly failed: Readonly<Record<string, number>>;
  readonly perSecond: number;
  /** How long a call took, in milliseconds. */
  readonly milliseconds: { readonly p50: number; readonly p95: number; readonly p99: number };
}

export interface MeasurementTerms {
  readonly operation: OperationName;
  readonly concurrency: number;
  readonly seconds: number;
  /** After which it ends early. */
  readonly maximumCalls: number;
  readonly signal: AbortSignal;
}

/**
 * Makes a call again and again, as many at a time as was said, for as long as was said.
 * @throws what the first call throws, and when it was aborted
 */
export async function measure(
  call: (signal: AbortSignal) => Promise<unknown>,
  { operation, concurrency, seconds, maximumCalls, signal }: MeasurementTerms,
): Promise<Measurement> {
  await call(signal);
  // Where few calls may be made, all are counted.
  const warmUpSeconds = maximumCalls === Infinity ? seconds * warmUpShare : 0;
  const startsAt = performance.now() + warmUpSeconds * 1_000;
  const endsAt = startsAt + seconds * 1_000;
  const took = createHistogram();
  const failed: Record<string, number> = {};
  let started = 0;
  let lastAnswer = startsAt;
  let wasAnsweredInTime = false;
  const caller = async (): Promise<void> => {
    while (performance.now() < endsAt && started < maximumCalls && !signal.aborted) {
      started++;
      const sentAt = performance.now();
      const failure = await call(signal).then(() => undefined, codeOf);
      const now = performance.now();
      if (now < startsAt || (now > endsAt && wasAnsweredInTime)) continue;
      wasAnsweredInTime ||= now <= endsAt;
      lastAnswer = now;
      if (failure === undefined) took.record(Math.max(1, Math.round((now - sentAt) * nanoseconds)));
      else failed[failure] = (failed[failure] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  signal.throwIfAborted();
  // Where it ended early, the time since its last answer is nobody's.
  const counted = (started < maximumCalls && wasAnsweredInTime ? endsAt : lastAnswer) - startsAt;
  const percentile = (share: number): number => (took.count === 0 ? 0 : took.percentile(share) / nanoseconds);
  return {
    operation,
    concurrency,
    calls: took.count,
    failed,
    perSecond: counted > 0 ? (took.count * 1_000) / counted : 0,
    milliseconds: { p50: percentile(50), p95: percentile(95), p99: percentile(99) },
  };
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : 'unknown';
}
