import { type CaseFacts, contest, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { residentMegabytesOfTree } from '../harness/process-cost.js';
import type { Peers } from './peers.js';
import type { ServerProcess } from './server-process.js';
import type { LeavingResult, LeavingTask, Residue } from './task.js';
import { TokenStage } from './token-stage.js';

const cases = {
  'soak-rss-growth-mb': { unit: 'MB', better: 'lower' },
  'soak-used-growth-mb': { unit: 'MB', better: 'lower', target: 'flat: RSS without the free heap of V8' },
  'soak-left-behind': { unit: 'sessions and paused handshakes', better: 'lower', target: '0' },
} satisfies Record<string, CaseFacts>;
export const soakCases = Object.keys(cases);

const signMilliseconds = 2;
/** Ten a second for an hour. */
const connections = Number(process.env.NEST_HSM_BENCH_SOAK ?? 36_000);
/** What the first ones make the heaps grow by, once and for all, is no leak. */
const warmUpConnections = connections / 4;

/** What an hour's clients leave behind, three of four of which go away somewhere in their handshake, by FIN or by RST. */
export async function measureSoak(peers: Peers): Promise<Outcome[]> {
  const stage = await TokenStage.open('ec', peers);
  try {
    stage.device.delay('C_Sign', signMilliseconds);
    const side = stage.terminator();
    const run = async () => {
      const server = (await side.start()) as ServerProcess;
      try {
        const visit = async (count: number) => {
          await inProcess<LeavingTask, LeavingResult>(new URL('leaving-load.js', import.meta.url), {
            ...{ port: server.port, rootFile: side.rootFile, connections: count },
          });
          const residue = await server.ask<Residue>('residue');
          const resident = residentMegabytesOfTree(server.pid) ?? Number.NaN;
          return { ...residue, resident, used: resident - residue.freeHeapBytes / 1024 ** 2 };
        };
        const before = await visit(warmUpConnections);
        const after = await visit(connections);
        return {
          'soak-rss-growth-mb': { value: after.resident - before.resident },
          'soak-used-growth-mb': { value: after.used - before.used },
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
