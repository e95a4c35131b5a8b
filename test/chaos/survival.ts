import { setTimeout as pause } from 'node:timers/promises';
import { Hsm } from '@nest-hsm/hsm';
import type { Scenario } from './scenarios.js';
import { type Signed, signDuring } from './signers.js';
import { eventually } from '../support/eventually.js';
import { signMilliseconds, VirtualFleet } from './virtual-fleet.js';

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
  // Before the other members look: SoftHSM may never see an object that it found while another process was still writing it.
  await makeKey(fleet, 'ec');
  const losses: string[] = [];
  const hsm = await Hsm.open(fleet.config(), { agentLost: (_reason, member) => void losses.push(member) });
  const isServing = (): boolean => hsm.members.every(({ state }) => state === 'serving');
  try {
    await eventually(isServing);
    const key = await hsm.findKey({ label: 'ec' });
    return await signDuring(hsm, key, async () => {
      await pause(soundMilliseconds);
      scenario.strike(device);
      await pause(struckMilliseconds);
      if (name === 'stop') await eventually(() => losses.length > 0);
      scenario.mend(device, signMilliseconds);
      await eventually(isServing);
      const before = device.calls('C_Sign');
      await eventually(() => device.calls('C_Sign') > before + servingCalls);
    });
  } finally {
    device.thaw();
    device.powerOn();
    await hsm.close();
    fleet.remove();
  }
}

async function makeKey({ devices: [first] }: VirtualFleet, label: string): Promise<void> {
  const hsm = await Hsm.open(first.config());
  await hsm.generateKeyPair({ label, algorithm: 'ec-p256' });
  await hsm.close();
}
