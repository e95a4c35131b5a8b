import type { Answer, Request, TokenDescription, Verb } from '../agent/protocol.js';
import type { ParsedHsmConfig } from '../config.js';

export interface MemberCallOptions {
  readonly deadlineMilliseconds?: number;
  readonly signal?: AbortSignal;
  readonly correlationId?: string;
}
export class Member {
  static start(_config: ParsedHsmConfig): Promise<Member> {
    throw new Error('not yet');
  }
  readonly token: TokenDescription;
  call<V extends Verb>(_verb: V, _request: Request<V>, _options: MemberCallOptions): Promise<Answer<V>> {
    throw new Error('not yet');
  }
  close(): Promise<void> {
    throw new Error('not yet');
  }
}
