import type { Verb } from '../agent/protocol.js';

export interface FleetCallOptions {
  readonly deadlineMilliseconds?: number;
  readonly signal?: AbortSignal;
  readonly correlationId?: string;
  /** Send it to a second member when the first takes unusually long. */
  readonly hedge?: boolean;
}

/** What callers may ask for; the rest of the protocol is between client and agent. */
export type FleetVerb = Exclude<Verb, 'hello' | 'ping' | 'cancel'>;
