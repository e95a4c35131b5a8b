import { join } from 'node:path';
import type { HsmConfig } from '@nest-hsm/hsm';
import { TestToken } from '../../test/support/token.js';
import type { CaseFacts, Contender, Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';

/** A CRL of half a million entries: read from SQLite, written, linted, signed in SoftHSM, stored; the memory of its process, and for how long at most nothing else had a turn. */
export const crlCases = {
  'crl-500k-s': { unit: 's', better: 'lower', target: '< 5 s' },
  'crl-500k-rss-mb': { unit: 'MB', better: 'lower', target: '< 300 MB' },
  'crl-500k-stall-ms': { unit: 'ms', better: 'lower' },
} as const satisfies Record<string, CaseFacts>;

export interface CrlTask {
  readonly hsm: HsmConfig;
  readonly entries: number;
  /** Path of the SQLite file: in memory it would be counted as the CRL's. */
  readonly database: string;
}
export interface CrlResult {
  readonly seconds: number;
  readonly peakMegabytes: number;
  /** The longest that the event loop was kept from everything else. */
  readonly stallMilliseconds: number;
}

export function crlContender(entries = Number(process.env.NEST_HSM_BENCH_CRL_ENTRIES ?? 500_000)): Contender {
  return {
    name: 'nest-hsm',
    run: async (): Promise<Samples> => {
      const token = new TestToken('ca');
      try {
        const url = new URL('crl-contender.js', import.meta.url);
        const { seconds, peakMegabytes, stallMilliseconds } = await inProcess<CrlTask, CrlResult>(url, {
          hsm: token.config(),
          entries,
          database: join(token.directory, 'ca.sqlite'),
        });
        return {
          'crl-500k-s': { value: seconds },
          'crl-500k-rss-mb': { value: peakMegabytes },
          'crl-500k-stall-ms': { value: stallMilliseconds },
        };
      } finally {
        token.remove();
      }
    },
  };
}
