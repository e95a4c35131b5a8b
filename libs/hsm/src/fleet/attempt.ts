import type { AgentRequest } from '../agent/agent-client.js';
import type { Request, Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { Call } from './call.js';

/** One call on its way to one member. A call that is retried or hedged has several, at most one of which settles it. */
export class Attempt implements AgentRequest {
  requestId = 0;
  sentAt = 0;
  answeredAt = 0;

  constructor(
    readonly call: Call,
    /** 1 for the first of its call. */
    readonly attempt: number,
  ) {}

  /** From its leaving this process to its answer, or to now; 0 while it has not left. */
  get milliseconds(): number {
    return this.sentAt === 0 ? 0 : (this.answeredAt || performance.now()) - this.sentAt;
  }

  get verb(): Verb {
    return this.call.verb;
  }

  get request(): Request<Verb> {
    return this.call.request;
  }

  get trafficClass(): TrafficClass {
    return this.call.trafficClass;
  }

  get correlationId(): string {
    return this.call.correlationId;
  }
}
