import { dirname } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { measuredScenarios } from '../../test/chaos/scenarios.js';
import { VirtualFleet } from '../../test/chaos/virtual-fleet.js';
import { type CaseFacts, contest, type Outcome, type Samples } from '../harness/contest.js';
import { report } from '../harness/report.js';
import { FleetLoad } from './load.js';
import { drawTimeline } from './timeline-drawing.js';
import { recordTimeline } from './timeline.js';

/**
 * Fleets of two and three virtual HSMs, 2 ms a signature, under 16 callers, while one of them misbehaves: calls that failed, the
 * 99th percentile of the calls made meanwhile beside that of a sound fleet, the time until the member was given no more
 * calls, and the time from its mending until it served again. And one freeze of a member of two as a picture.
 */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 3);
const signMilliseconds = 2;

const outcomes: Outcome[] = [];
for (const members of [2, 3]) {
  const fleet = new VirtualFleet('fleet', members, signMilliseconds);
  try {
    // The time-outs are those that an application gets when it names none.
    const config = fleet.config({ hangMilliseconds: undefined });
    const hsm = await Hsm.open(config);
    const key = await hsm.generateKeyPair({ label: 'bench', algorithm: 'ec-p256' });
    await hsm.close();
    const load = new FleetLoad(config, key, fleet.devices[0], signMilliseconds);
    outcomes.push(...(await measure(load, members)));
    if (members === 2) drawTimeline(await recordTimeline(config, key, fleet.devices[0]), dirname(resultPath()));
  } finally {
    fleet.remove();
  }
}
report(outcomes);

function measure(load: FleetLoad, members: number): Promise<Outcome[]> {
  const caseOf = (name: string): string => (members === 2 ? name : `${members}-${name}`);
  const cases = measuredScenarios.flatMap(({ name }): [string, CaseFacts][] => [
    [caseOf(name), { unit: 'failed calls', better: 'lower', target: '0' }],
    [caseOf(`${name}-p99-ms`), { unit: 'ms', better: 'lower' }],
    [caseOf(`${name}-detect-ms`), { unit: 'ms', better: 'lower' }],
    [caseOf(`${name}-recover-ms`), { unit: 'ms', better: 'lower' }],
  ]);
  const underFaults = async (): Promise<Samples> => {
    const samples: Samples[] = [];
    for (const scenario of measuredScenarios) {
      const { failed, p99, detected, recovered } = await load.under(scenario);
      samples.push({
        [caseOf(scenario.name)]: { value: failed },
        [caseOf(`${scenario.name}-p99-ms`)]: { value: p99 },
        [caseOf(`${scenario.name}-detect-ms`)]: { value: detected },
        [caseOf(`${scenario.name}-recover-ms`)]: { value: recovered },
      });
    }
    return Object.assign({}, ...samples) as Samples;
  };
  const sound = async (): Promise<Samples> => {
    const p99 = await load.sound();
    return Object.fromEntries(measuredScenarios.map(({ name }) => [caseOf(`${name}-p99-ms`), { value: p99 }]));
  };
  const ours = { name: `one of ${members} misbehaves`, run: underFaults };
  return contest(Object.fromEntries(cases), ours, [{ name: 'all sound', run: sound }], rounds);
}

function resultPath(): string {
  const path = process.env.NEST_HSM_BENCH_RESULT;
  if (path === undefined) throw new Error('bench: want NEST_HSM_BENCH_RESULT, got none (run npm run bench -- fleet)');
  return path;
}
