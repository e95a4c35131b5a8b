import { monitorEventLoopDelay } from 'node:perf_hooks';
import { childrenOf } from '../../test/support/processes.js';
import { keepCalling } from '../harness/callers.js';
import { cpuMicrosecondsByThread, residentMegabytes } from '../harness/process-cost.js';
import type { SigningResult, SigningTask } from './task.js';

/**
 * Warms the signer up for three seconds, until V8 has optimised both processes, measures its rate and the CPU time of this
 * one and of its agents, and then, for a second more, the event loop, whose monitor wakes a thousand times a second and would
 * be counted as the signer's CPU time.
 */
export async function measure(task: SigningTask, sign: (caller: number) => Promise<unknown>): Promise<SigningResult> {
  await keepCalling(task.callers, 3, sign);

  const agents = childrenOf(process.pid);
  const agentsBefore = agents.map(cpuMicrosecondsByThread);
  const before = process.cpuUsage();
  const { calls, seconds } = await keepCalling(task.callers, task.seconds, sign);
  const cpu = process.cpuUsage(before);
  const ofAgents = agents.map((pid, index) => usedSince(agentsBefore[index], cpuMicrosecondsByThread(pid)));

  const resolution = 1;
  const loop = monitorEventLoopDelay({ resolution });
  loop.enable();
  await keepCalling(task.callers, 1, sign);
  loop.disable();

  return {
    signaturesPerSecond: calls / seconds,
    cpuMicrosecondsPerSignature: (cpu.user + cpu.system) / calls,
    agentCpuMicrosecondsPerSignature: sum(ofAgents, ({ all }) => all) / calls,
    agentMainCpuMicrosecondsPerSignature: sum(ofAgents, ({ main }) => main) / calls,
    tokenCpuMicrosecondsPerSignature: sum(ofAgents, ({ token }) => token) / calls,
    agentMegabytes: sum(agents, (pid) => residentMegabytes(pid) ?? Number.NaN) / agents.length,
    // The monitor counts the period of its own timer in.
    loopDelayP99Milliseconds: Math.max(0, loop.percentile(99) / 1e6 - resolution),
  };
}

/** CPU microseconds of one agent: of all its threads, of the one that runs JavaScript, of those that call the token. */
function usedSince(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>) {
  const of = (name: string): number => (now.get(name) ?? 0) - (before.get(name) ?? 0);
  return { all: sum([...now.keys()], of), main: of('main'), token: of('token-call') };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
