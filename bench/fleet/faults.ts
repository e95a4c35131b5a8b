import { childrenOf } from '../../test/support/processes.js';
import type { VirtualHsm } from '../../test/chaos/virtual-hsm.js';

export interface Fault {
  readonly name: string;
  strike(device: VirtualHsm): void;
  mend(device: VirtualHsm): void;
}

const firstAgent = (): number => childrenOf(process.pid)[0];

export const faults: readonly Fault[] = [
  { name: 'kill', strike: () => void process.kill(firstAgent(), 'SIGKILL'), mend: () => undefined },
  { name: 'freeze', strike: (device) => device.freeze(), mend: (device) => device.thaw() },
  { name: 'restart', strike: (device) => device.powerOff(), mend: (device) => device.powerOn() },
  { name: 'slow', strike: (device) => device.delay('C_Sign', 100), mend: (device) => device.heal() },
  { name: 'throttle', strike: (device) => device.throttle('C_Sign', 20), mend: (device) => device.heal() },
  { name: 'wrong', strike: (device) => device.corrupt('C_Sign'), mend: (device) => device.heal() },
];
