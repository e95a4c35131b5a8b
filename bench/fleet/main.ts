import { Hsm } from '@nest-hsm/hsm';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { contest, type Outcome } from '../harness/contest.js';
import { report } from '../harness/report.js';
import { faults } from './faults.js';
import { FleetLoad } from './load.js';

/**
 * A fleet of two virtual HSMs, 2 ms a signature, under 16 callers, while one of the two misbehaves: calls that failed, the
 * 99th percentile of the calls made meanwhile beside that of a sound fleet, the time until the member was given no more
 * calls, and the time from its mending until it served again.
 */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 3);
const latencyMilliseconds = 2;

const first = new VirtualHsm('fleet');
const devices = [first, new VirtualHsm(first)];
try {
  const config = {
    ...first.config(),
    members: devices.map((device, index) => device.member({ name: `m${index + 1}`, vendor: 'cloudhsm' })),
  };
  const hsm = await Hsm.open(config);
  const key = await hsm.generateKeyPair({ label: 'bench', algorithm: 'ec-p256' });
  await hsm.close();
  for (const device of devices) device.delay('C_Sign', latencyMilliseconds);

  const outcomes: Outcome[] = [];
  for (const fault of faults) {
    const load = new FleetLoad(config, key, devices[0]);
    outcomes.push(
      ...(await contest(
        {
          [fault.name]: { unit: 'failed calls', better: 'lower', target: '0' },
          [`${fault.name}-p99-ms`]: { unit: 'ms', better: 'lower' },
          [`${fault.name}-detect-ms`]: { unit: 'ms', better: 'lower' },
          [`${fault.name}-recover-ms`]: { unit: 'ms', better: 'lower' },
        },
        {
          name: 'one of two misbehaves',
          run: async () => {
            const { failed, p99, detected, recovered } = await load.under(fault);
            return {
              [fault.name]: { value: failed },
              [`${fault.name}-p99-ms`]: { value: p99 },
              [`${fault.name}-detect-ms`]: { value: detected },
              [`${fault.name}-recover-ms`]: { value: recovered },
            };
          },
        },
        { name: 'both sound', run: async () => ({ [`${fault.name}-p99-ms`]: { value: await load.sound() } }) },
        rounds,
      )),
    );
    for (const device of devices) device.delay('C_Sign', latencyMilliseconds);
  }
  report(outcomes);
} finally {
  for (const device of devices.toReversed()) device.remove();
}
