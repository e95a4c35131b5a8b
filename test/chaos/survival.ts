import { setTimeout as pause } from 'node:timers/promises';
import { Hsm } from '@nest-hsm/hsm';
import type { Scenario } from './scenarios.js';
import { type Signed, signDuring } from './signers.js';
import { signMilliseconds, until, VirtualFleet } from './virtual-fleet.js';

const soundMilliseconds = 200;
const struckMilliseconds = 1_000;
/** More than the probes of a member that is given nothing else. */
const servingCalls = 10;

/**
 * One member of a fleet misbehaves while 16 callers sign, is mended, and is signed with again: the callers never stop.
 * @returns what they got, from before the fault until after the recovery
 */
export async function survive(scenario: Scenario, members: number): Promise<Signed> {
  const { name } = scenario;
  const fleet = new VirtualFleet(`survive-${name}`, members);
  const [device] = fleet.devices;
  const losses: string[] = [];
  const hsm = await Hsm.open(fleet.config(), { agentLost: (_reason, member) => void losses.push(member) });
  const isServing = (): boolean => hsm.members.every(({ state }) => state === 'serving');
  try {
    await until('every member serving', isServing);
    // Scenarios run side by side: however long a busy machine takes to show the key to the other members.
    const key = await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' }, { deadlineMilliseconds: 30_000 });
    return await signDuring(hsm, key, async () => {
      await pause(soundMilliseconds);
      scenario.strike(device);
      await pause(struckMilliseconds);
      if (name === 'stop') await until('the stopped agent noticed', () => losses.length > 0);
      scenario.mend(device, signMilliseconds);
      await until('every member serving again', isServing);
      const before = device.calls('C_Sign');
      await until('the mended member signing again', () => device.calls('C_Sign') > before + servingCalls);
    });
  } finally {
    device.thaw();
    device.powerOn();
    await hsm.close();
    fleet.remove();
  }
}
