import { HsmError } from '../errors.js';
import { guarded, type HsmObserver } from './observer.js';

describe('guarded', () => {
  const token = {} as Parameters<NonNullable<HsmObserver['agentStarted']>>[0];
  const reason = new HsmError('ERR_HSM_UNAVAILABLE', 'gone');

  it('tells the observer as itself, of whatever it wants to know', () => {
    class Observer implements HsmObserver {
      readonly seen: unknown[] = [];
      callEnded(...what: unknown[]): void {
        this.seen.push(what);
      }
      agentLost(why: HsmError): void {
        this.seen.push(why);
      }
    }
    const observer = new Observer();
    const { callEnded, agentStarted, agentLost, agentRefused } = guarded(observer);
    callEnded('sign', 'OK', 1.5);
    agentStarted(token);
    agentLost(reason);
    agentRefused(reason);
    expect(observer.seen).toEqual([['sign', 'OK', 1.5], reason]);
  });

  it('makes the faults of an observer warnings of the process', () => {
    const emitWarning = process.emitWarning.bind(process);
    const warnings: unknown[] = [];
    process.emitWarning = (warning) => void warnings.push(warning);
    const fail = () => {
      throw new Error('out of order');
    };
    const observer = guarded({ callEnded: fail, agentStarted: fail, agentLost: fail, agentRefused: fail });
    observer.callEnded('sign', 'OK', 1);
    observer.agentStarted(token);
    observer.agentLost(reason);
    observer.agentRefused(reason);
    process.emitWarning = emitWarning;
    expect(warnings).toEqual(Array(4).fill('an observer of an Hsm failed: Error: out of order'));
  });
});
