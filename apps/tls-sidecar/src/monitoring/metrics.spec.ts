import { readFileSync } from 'node:fs';
import type { Hsm } from '@nest-hsm/hsm';
import { Registry } from 'prom-client';
import type { Config } from '../config.js';
import { Sidecar } from '../serving/sidecar.js';
import { WorkerPool } from '../workers/worker-pool.js';
import { AccessLog } from './access-log.js';
import { registerStateMetrics } from './state-metrics.js';
import { TrafficMetrics } from './traffic-metrics.js';

const page = readFileSync(new URL('../../../../docs/TLS-SIDECAR.md', import.meta.url), 'utf8');
const prefix = 'nest_hsm_tls_';

/** Name and labels of each metric, as the page's table has them. */
function documented(): Record<string, string[]> {
  const [, table] = page.split('| `nest_hsm_tls_…` | labels |\n');
  const rows = table.split('\n\n', 1)[0].split('\n').slice(1);
  const codes = (cell: string): string[] => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code);
  // What follows the labels' names explains their values.
  const listed = rows.flatMap((row) => {
    const [, names, labels] = row.split('|');
    return codes(names).map((name): [string, string[]] => [name, codes(labels.split(/[:;.]/, 1)[0])]);
  });
  return Object.fromEntries(listed);
}

it('the metrics are those of docs/TLS-SIDECAR.md, with the labels that it names', () => {
  const registry = new Registry();
  const config = { hsm: { members: [] }, listeners: [], certificates: [] } as unknown as Config;
  const observers = { metrics: new TrafficMetrics(registry), accessLog: new AccessLog({ info: () => undefined }, 0) };
  registerStateMetrics(registry, new Sidecar(config, {} as Hsm, observers, {}));
  new WorkerPool(config, {}, () => config, registry);
  const registered = registry.getMetricsAsArray() as unknown as { name: string; labelNames: string[] }[];
  const shown = registered.map(({ name, labelNames }) => [name.replace(prefix, ''), labelNames.toSorted()]);
  const expected = Object.entries(documented()).map(([name, labels]) => [name, labels.toSorted()]);
  expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(expected));
});
