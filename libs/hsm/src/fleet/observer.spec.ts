import { HsmError } from '../errors.js';
import { guarded, type HsmObserver } from './observer.js';

describe('guarded', () => {
  const token = {} as Parameters<NonNullable<HsmObserver['agentStarted']>>[0];
  const reason = new HsmError('ERR_HSM_UNAVAILABLE', 'gone');
  const attempt = { member: 'm1', verb: 'sign', code: 'OK', milliseconds: 1.5, purpose: 'application' } as const;
  const call = {
    ...attempt,
    client: 'tests',
    correlationId: '',
    attempts: 1,
    queuedMilliseconds: 0.5,
    trafficClass: 'issuance',
  } as const;

  it('tells the observer as itself, of whatever it wants to know', () => {
    class Observer implements HsmObserver {
      readonly seen: unknown[] = [];
      callEnded(...what: unknown[]): void {
        this.seen.push(what);
      }
      agentLost(why: HsmError, member: string): void {
        this.seen.push(why, member);
      }
    }
    const observer = new Observer();
    const { callEnded, attemptEnded, agentStarted, agentLost, agentRefused, callHedged } = guarded(observer);
    callEnded?.(call);
    attemptEnded?.(attempt);
    agentStarted(token, 'm1');
    agentLost(reason, 'm1');
    agentRefused(reason, 'm1');
    callHedged('m1', 'm2');
    expect(observer.seen).toEqual([[call], reason, 'm1']);
  });

  it('makes the faults of an observer warnings of the process', () => {
    const emitWarning = process.emitWarning.bind(process);
    const warnings: unknown[] = [];
    process.emitWarning = (warning) => void warnings.push(warning);
    const fail = () => {
      throw new Error('out of order');
    };
    const observer = guarded({
      callEnded: fail,
      attemptEnded: fail,
      agentStarted: fail,
      agentLost: fail,
      agentRefused: fail,
      callHedged: fail,
    });
    observer.callEnded?.(call);
    observer.attemptEnded?.(attempt);
    observer.agentStarted(token, 'm1');
    observer.agentLost(reason, 'm1');
    observer.agentRefused(reason, 'm1');
    observer.callHedged('m1', 'm2');
    process.emitWarning = emitWarning;
    expect(warnings).toEqual(Array(6).fill('an observer of an Hsm failed: Error: out of order'));
  });
});
