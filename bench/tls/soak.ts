import { type CaseFacts, contest, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { residentMegabytesOfTree } from '../harness/process-cost.js';
import type { Peers } from './peers.js';
import type { ServerProcess } from './server-process.js';
import type { LeavingResult, LeavingTask, Residue } from './task.js';
import { TokenStage } from './token-stage.js';

const cases = {
  'soak-rss-growth-mb': { unit: 'MB', better: 'lower', target: 'flat' },
  'soak-left-behind': { unit: 'sessions and paused handshakes', better: 'lower', target: '0' },
} satisfies Record<string, CaseFacts>;
export const soakCases = Object.keys(cases);

const signMilliseconds = 2;
/** Ten a second for an hour. */
const connections = Number(process.env.NEST_HSM_BENCH_SOAK ?? 36_000);
/** Hours before it: the first 100,000 connections or so make the heaps of V8 and malloc grow to what they then keep. */
const hoursBefore = 3;
/** What an hour's clients leave behind, three of four of which go away somewhere in their handshake, by FIN or by RST. */
export async function measureSoak(peers: Peers): Promise<Outcome[]> {
  const stage = await TokenStage.open('ec', peers);
  try {
    stage.device.delay('C_Sign', signMilliseconds);
    const side = stage.terminator();
    const run = async () => {
      const server = (await side.start()) as ServerProcess;
      try {
        const visit = async () => {
          await inProcess<LeavingTask, LeavingResult>(new URL('leaving-load.js', import.meta.url), {
            ...{ port: server.port, rootFile: side.rootFile, connections },
          });
          const residue = await server.ask<Residue>('residue');
          return { ...residue, megabytes: residentMegabytesOfTree(server.pid) ?? Number.NaN };
        };
        for (let hour = 1; hour < hoursBefore; hour++) await visit();
        const before = await visit();
        const after = await visit();
        return {
          'soak-rss-growth-mb': { value: after.megabytes - before.megabytes },
          'soak-left-behind': { value: after.liveSessions + after.pausedJobs },
        };
      } finally {
        await server.stop();
      }
    };
    return await contest(cases, { name: side.name, run }, [], 0);
  } finally {
    stage.remove();
  }
}
