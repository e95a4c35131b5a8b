import type { VirtualHsm } from './virtual-hsm.js';

/** One way in which a member of a fleet may misbehave. */
export interface Scenario {
  readonly name: string;
  /** Completes "a member that …". */
  readonly what: string;
  strike(device: VirtualHsm): void;
  /** @param signMilliseconds  how long a signature takes on a sound device */
  mend(device: VirtualHsm, signMilliseconds: number): void;
}

const signalAgents = (device: VirtualHsm, signal: NodeJS.Signals): void => {
  for (const pid of device.agents) process.kill(pid, signal);
};
const comesBackByItself = (): undefined => undefined;

/** Those that the fleet is measured with (bench/fleet). */
export const measuredScenarios: readonly Scenario[] = [
  { name: 'kill', what: 'is killed', strike: (device) => signalAgents(device, 'SIGKILL'), mend: comesBackByItself },
  { name: 'freeze', what: 'freezes', strike: (device) => device.freeze(), mend: (device) => device.thaw() },
  { name: 'restart', what: 'is off and on', strike: (device) => device.powerOff(), mend: (device) => device.powerOn() },
  {
    name: 'slow',
    what: 'takes 100 ms for each call',
    strike: (device) => device.delay('C_Sign', 100),
    mend: (device, signMilliseconds) => device.delay('C_Sign', signMilliseconds),
  },
  {
    name: 'throttle',
    what: 'throttles',
    strike: (device) => device.throttle('C_Sign', 20),
    mend: (device) => device.throttle('C_Sign', 0),
  },
  {
    name: 'wrong',
    what: 'answers wrongly',
    strike: (device) => device.corrupt('C_Sign'),
    mend: (device) => device.unstrike('C_Sign'),
  },
];

/** Those too that differ in how they are noticed. */
export const scenarios: readonly Scenario[] = [
  ...measuredScenarios,
  {
    name: 'stop',
    what: 'has its agent stopped',
    strike: (device) => signalAgents(device, 'SIGSTOP'),
    mend: comesBackByItself,
  },
  {
    name: 'hang',
    what: 'hangs in one function',
    strike: (device) => device.freeze('C_Sign'),
    mend: (device) => device.unstrike('C_Sign'),
  },
  { name: 'epoch', what: 'restarts in an instant', strike: (device) => device.restart(), mend: comesBackByItself },
  {
    name: 'crash',
    what: 'crashes at each signature',
    strike: (device) => device.crash('C_Sign', 'segmentation fault'),
    mend: (device) => device.unstrike('C_Sign'),
  },
  {
    name: 'refuse',
    what: 'refuses each signature',
    strike: (device) => device.fail('C_Sign', 'CKR_GENERAL_ERROR'),
    mend: (device) => device.unstrike('C_Sign'),
  },
];
