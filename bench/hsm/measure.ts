import { monitorEventLoopDelay } from 'node:perf_hooks';
import { childrenOf } from '../../test/support/processes.js';
import { keepCalling } from '../harness/callers.js';
import { cpuMicroseconds, residentMegabytes } from '../harness/process-cost.js';
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
  const before = process.cpuUsage();
  const { calls, seconds } = await keepCalling(task.callers, task.seconds, sign);
  const cpu = process.cpuUsage(before);
  const ofAgents = sum(agents, cpuMicroseconds) - ofAgentsBefore;

  const resolution = 1;
  const loop = monitorEventLoopDelay({ resolution });
  loop.enable();
  await keepCalling(task.callers, 1, sign);
  loop.disable();

  return {
    signaturesPerSecond: calls / seconds,
    cpuMicrosecondsPerSignature: (cpu.user + cpu.system) / calls,
    agentCpuMicrosecondsPerSignature: ofAgents / calls,
    agentMegabytes: sum(agents, residentMegabytes) / agents.length,
    // The monitor counts the period of its own timer in.
    loopDelayP99Milliseconds: Math.max(0, loop.percentile(99) / 1e6 - resolution),
  };
}

/** NaN where one has none. */
function sum(pids: readonly number[], of: (pid: number) => number | undefined): number {
  return pids.reduce((total, pid) => total + (of(pid) ?? Number.NaN), 0);
}
