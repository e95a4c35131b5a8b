import type { Hsm } from '@nest-hsm/hsm';
import { Registry } from 'prom-client';
import type { Config } from '../config.js';
import { AccessLog } from '../monitoring/access-log.js';
import { TrafficMetrics } from '../monitoring/traffic-metrics.js';
import { Sidecar } from './sidecar.js';

describe('a sidecar', () => {
  it('does not begin to serve again when a reload that was made ready is to take place after its end', async () => {
    const config = { hsm: { members: [] }, listeners: [], certificates: [], drainSeconds: 0 } as unknown as Config;
    const hsm = { setMembers: () => Promise.resolve() } as unknown as Hsm;
    const accessLog = new AccessLog({ info: () => undefined }, 0);
    const sidecar = new Sidecar(config, hsm, { metrics: new TrafficMetrics(new Registry()), accessLog }, {});
    await sidecar.start();
    const prepared = await sidecar.prepare(config);
    await sidecar.drain();
    await expect(prepared.commit()).rejects.toMatchObject({ code: 'ERR_SIDECAR_ENDING' });
    expect(sidecar.state).toBe('draining');
  });
});
