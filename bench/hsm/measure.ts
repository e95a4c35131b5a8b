import { monitorEventLoopDelay } from 'node:perf_hooks';
import { childrenOf } from '../../test/support/processes.js';
import { keepCalling } from '../harness/callers.js';
import { cpuMicroseconds, cpuMicrosecondsByThread, residentMegabytes } from '../harness/process-cost.js';
import type { SigningResult, SigningTask } from './task.js';

/**
 * Warms the signer up for three seconds, until V8 has optimised both processes, measures its rate and the CPU time of this
 * one and of its agents, and then, for a second more, the event loop, whose monitor wakes a thousand times a second and would
 * be counted as the signer's CPU time.
 */
export async function measure(task: SigningTask, sign: (caller: number) => Promise<unknown>): Promise<SigningResult> {
  await keepCalling(task.callers, 3, sign);

  const agents = childrenOf(process.pid);
  const ofAgentsBefore = sum(agents, cpuMicroseconds);
  const ofMainThreadsBefore = sum(agents, mainThread);
  const before = process.cpuUsage();
  const { calls, seconds } = await keepCalling(task.callers, task.seconds, sign);
  const cpu = process.cpuUsage(before);
  const ofAgents = sum(agents, cpuMicroseconds) - ofAgentsBefore;
  const ofMainThreads = sum(agents, mainThread) - ofMainThreadsBefore;

  const resolution = 1;
  const loop = monitorEventLoopDelay({ resolution });
  loop.enable();
  await keepCalling(task.callers, 1, sign);
  loop.disable();

  return {
    signaturesPerSecond: calls / seconds,
    cpuMicrosecondsPerSignature: (cpu.user + cpu.system) / calls,
    agentCpuMicrosecondsPerSignature: ofAgents / calls,
    agentMainCpuMicrosecondsPerSignature: ofMainThreads / calls,
    tokenCpuMicrosecondsPerSignature: (ofAgents - ofMainThreads) / calls,
    agentMegabytes: sum(agents, (pid) => residentMegabytes(pid) ?? Number.NaN) / agents.length,
    // The monitor counts the period of its own timer in.
    loopDelayP99Milliseconds: Math.max(0, loop.percentile(99) / 1e6 - resolution),
  };
}

/** CPU microseconds of the thread that runs JavaScript. */
function mainThread(pid: number): number {
  return cpuMicrosecondsByThread(pid).get('main') ?? Number.NaN;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
