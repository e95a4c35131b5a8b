import type { Hsm } from '@nest-hsm/hsm';
import { Registry } from 'prom-client';
import type { Config } from '../config.js';
import { AccessLog } from '../monitoring/access-log.js';
import { TrafficMetrics } from '../monitoring/traffic-metrics.js';
import { type Prepared, Sidecar } from './sidecar.js';

/** One that has nothing to serve. */
const config = { hsm: { members: [] }, listeners: [], certificates: [], drainSeconds: 0 } as unknown as Config;

async function started(): Promise<Sidecar> {
  const hsm = { setMembers: () => Promise.resolve() } as unknown as Hsm;
  const accessLog = new AccessLog({ info: () => undefined }, 0);
  const sidecar = new Sidecar(config, hsm, { metrics: new TrafficMetrics(new Registry()), accessLog }, {});
  await sidecar.start();
  return sidecar;
}

describe('a sidecar', () => {
  it('does not begin to serve again when a reload that was made ready is to take place after its end', async () => {
    const sidecar = await started();
    const prepared = await sidecar.prepare(config);
    await sidecar.drain();
    await expect(prepared.commit()).rejects.toMatchObject({ code: 'ERR_SIDECAR_ENDING' });
    expect(sidecar.state).toBe('draining');
  });

  it('waits for a restart as long as what it was started with is wanted otherwise', async () => {
    const sidecar = await started();
    const reload = async (wanted: Config): Promise<Pick<Prepared, 'changed' | 'awaitingRestart'>> => {
      const prepared = await sidecar.prepare(wanted);
      await prepared.commit();
      const { changed, awaitingRestart } = prepared;
      return { changed, awaitingRestart };
    };
    const wanted = { ...config, workers: 2, drainSeconds: 1 };
    expect(await reload(wanted)).toEqual({ changed: ['drainSeconds', 'workers'], awaitingRestart: ['workers'] });
    expect(await reload(wanted)).toEqual({ changed: [], awaitingRestart: ['workers'] });
    expect(await reload(config)).toEqual({ changed: ['drainSeconds', 'workers'], awaitingRestart: [] });
  });
});
