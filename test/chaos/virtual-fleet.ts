import type { HsmConfig } from '@nest-hsm/hsm';
import { VirtualHsm } from './virtual-hsm.js';

/** A signature's time in the tests, as on a device at the other end of a network: so the machine is not what is tested. */
export const signMilliseconds = 10;

/** Virtual HSMs that hold the same keys at any time, as devices that replicate do: m1, m2, … */
export class VirtualFleet {
  readonly devices: readonly VirtualHsm[];

  constructor(label: string, count: number, milliseconds = signMilliseconds) {
    const first = new VirtualHsm(label);
    this.devices = [first, ...Array.from({ length: count - 1 }, () => new VirtualHsm(first))];
    for (const device of this.devices) device.delay('C_Sign', milliseconds);
  }

  /** What `Hsm.open` takes. As CloudHSM's, the members say CKR_FUNCTION_FAILED when they throttle. */
  config(overrides: Partial<HsmConfig> = {}, vendor: 'cloudhsm' | 'softhsm' = 'cloudhsm'): HsmConfig {
    const members = this.devices.map((device, index) => device.member({ name: `m${index + 1}`, vendor }));
    return { ...this.devices[0].config({ hangMilliseconds: 500, ...overrides }), members };
  }

  /** Close every `Hsm` on it first. */
  remove(): void {
    for (const device of this.devices.toReversed()) device.remove();
  }
}
