import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { type CaseFacts, contest, type Contender, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import type { Peers } from './peers.js';
import { whileRunning } from './side.js';
import type { PersistentResult, PersistentTask } from './task.js';
import { type HandshakeSide, TokenStage } from './token-stage.js';

const signMilliseconds = 2;
const clients = 8;
const soundMilliseconds = 1_000;
const awayMilliseconds = 2_000;
const afterMilliseconds = 5_000;

const cases = {
  'restart-failed': { unit: 'failed handshakes', better: 'lower', target: '0, with a second HSM' },
  'restart-alone-failed': { unit: 'failed handshakes', better: 'lower' },
  'restart-alone-recover-ms': { unit: 'ms', better: 'lower', target: 'without a reload' },
} satisfies Record<string, CaseFacts>;
export const restartCases = Object.keys(cases);

/**
 * The HSM goes away for two seconds under eight clients, and is back as one that was restarted: who knew it has to log in anew. Ours
 * with another HSM that has the key, and alone; the peers alone, since more than one they cannot have.
 */
export async function measureRestart(peers: Peers): Promise<Outcome[]> {
  const stage = await TokenStage.open('ec', peers);
  const { device } = stage;
  const second = new VirtualHsm(device);
  try {
    for (const each of [device, second]) each.delay('C_Sign', signMilliseconds);
    const fleet = stage.terminator({
      ...device.config({ stateDirectory: join(device.token.directory, 'fleet') }),
      members: [device.member({ name: 'm1' }), second.member({ name: 'm2' })],
    });
    const alone = stage.terminator();
    const ours: Contender = {
      name: fleet.name,
      run: async () => {
        const { failed } = await restartUnder(fleet, device);
        return { 'restart-failed': { value: failed }, ...aloneSamples(await restartUnder(alone, device)) };
      },
    };
    const others = stage.engines
      .filter(({ name }) => name !== 'nginx-8')
      .map((side): Contender => ({
        name: side.name,
        run: async () => {
          const seen = await restartUnder(side, device);
          return { 'restart-failed': { value: seen.failed }, ...aloneSamples(seen) };
        },
      }));
    return await contest(cases, ours, others, 0);
  } finally {
    second.remove();
    stage.remove();
  }
}

interface Restart {
  readonly failed: number;
  /** From its return until a handshake succeeded; NaN: none did for five seconds. */
  readonly recoveredMilliseconds: number;
}

function aloneSamples({ failed, recoveredMilliseconds }: Restart) {
  return { 'restart-alone-failed': { value: failed }, 'restart-alone-recover-ms': { value: recoveredMilliseconds } };
}

function restartUnder(side: HandshakeSide, device: VirtualHsm): Promise<Restart> {
  return whileRunning(side, async ({ port }) => {
    const seconds = (soundMilliseconds + awayMilliseconds + afterMilliseconds) / 1_000;
    const handshakes = inProcess<PersistentTask, PersistentResult>(new URL('persistent-load.js', import.meta.url), {
      ...{ port, rootFile: side.rootFile, clients, seconds },
    });
    await pause(soundMilliseconds);
    device.powerOff();
    await pause(awayMilliseconds);
    device.powerOn();
    const back = Date.now();
    const { failed, succeededAt } = await handshakes;
    const first = succeededAt.find((at) => at > back);
    return { failed, recoveredMilliseconds: first === undefined ? Number.NaN : first - back };
  });
}
