import type { Config } from '../config.js';
import type { HealthReport } from '../operations.js';
import type { ActivatedSockets } from '../serving/activation.js';

/** What the supervisor asks of a worker, and what it answers. Closed: a worker does nothing else. */
export interface Calls {
  /** The first one. Answered when it is known; clients are served after `serving`. */
  start: { readonly ask: { readonly config: Config; readonly activated: ActivatedSockets }; readonly answer: null };
  health: { readonly ask: null; readonly answer: HealthReport };
  isReady: { readonly ask: null; readonly answer: boolean };
  /** As prom-client gives them for aggregation. */
  metrics: { readonly ask: null; readonly answer: readonly object[] };
  status: { readonly ask: null; readonly answer: object };
  /** Makes everything ready for another configuration; then one of `commit` and `abort`. */
  prepare: { readonly ask: Config; readonly answer: null };
  commit: { readonly ask: null; readonly answer: null };
  abort: { readonly ask: null; readonly answer: null };
}
export type Verb = keyof Calls;

export interface Question<V extends Verb = Verb> {
  readonly id: number;
  readonly verb: V;
  readonly ask: Calls[V]['ask'];
}

export type Answer =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly fault: { readonly code: string; readonly message: string } };

/** Said once by a worker, unasked. */
export const servingMessage = 'serving';
