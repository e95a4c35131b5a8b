import type { CaseFacts, Contender, Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';

/** Certificates written in a second from an order that is decided: no CSR, no lint, no database, no token. */
export const tbsCases = {
  tbs: { unit: 'TBS/s', better: 'higher', target: '≥ 20×' },
} as const satisfies Record<string, CaseFacts>;

export interface TbsTask {
  readonly seconds: number;
}
export interface TbsResult {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

export function tbsContender(name: string, module: string, seconds: number): Contender {
  return {
    name,
    run: async (): Promise<Samples> => {
      const url = new URL(module, import.meta.url);
      const { perSecond: value, cpuMicroseconds } = await inProcess<TbsTask, TbsResult>(url, { seconds });
      return { tbs: { value, cpuMicroseconds } };
    },
  };
}

/** Makes one after another until the time is up. */
export async function makeFor(seconds: number, make: () => unknown): Promise<TbsResult> {
  const before = process.cpuUsage();
  const start = performance.now();
  let made = 0;
  for (; performance.now() - start < seconds * 1000; made += 1) await make();
  const took = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { perSecond: made / took, cpuMicroseconds: (user + system) / made };
}
