import { type CaseFacts, contest, type Contender, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import type { Peers } from './peers.js';
import { whileRunning } from './side.js';
import type { LoadResult, LoadTask, RequestsResult, RequestsTask } from './task.js';
import { type HandshakeSide, TokenStage } from './token-stage.js';

export const openConnectionCase = 'open-conn-p90-ms';
const handshakingClients = 8;
const signMilliseconds = 5;

/** What requests on an open connection notice of eight clients that make handshakes meanwhile, 5 ms a signature. */
export async function measureOpenConnection(peers: Peers, rounds: number, seconds: number): Promise<Outcome[]> {
  const stage = await TokenStage.open('ec', peers);
  try {
    stage.device.delay('C_Sign', signMilliseconds);
    const contender = (side: HandshakeSide): Contender => ({
      name: side.name,
      run: async () => ({ [openConnectionCase]: { value: await p90Milliseconds(side, seconds) } }),
    });
    const facts: CaseFacts = { unit: 'ms', better: 'lower', target: '≤ 1.5 ms' };
    const others = [...stage.engines, stage.keyInFile()].map(contender);
    return await contest({ [openConnectionCase]: facts }, contender(stage.terminator()), others, rounds);
  } finally {
    stage.remove();
  }
}

async function p90Milliseconds(side: HandshakeSide, seconds: number): Promise<number> {
  return whileRunning(side, async ({ port }) => {
    const target = { port, rootFile: side.rootFile };
    const handshakes = inProcess<LoadTask, LoadResult>(new URL('load-generator.js', import.meta.url), {
      ...{ ...target, clients: handshakingClients, seconds: seconds + 1 },
    });
    const requests = inProcess<RequestsTask, RequestsResult>(new URL('requests-load.js', import.meta.url), {
      ...{ ...target, seconds },
    });
    await handshakes;
    return (await requests).p90Milliseconds;
  });
}
