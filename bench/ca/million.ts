import type { CaseFacts, Contender, Samples } from '../harness/contest.js';
import { StoredCa } from './stored-ca.js';

/**
 * The CA app with a million certificates in SQLite: until it listens; a page of what expires in a month, and one of those that
 * have a name, each from the middle; and one revocation over HTTP, beside the same of a CA with two thousand.
 */
export const millionCases = {
  'start-1m-s': { unit: 's', better: 'lower', target: '< 5 s' },
  'expiry-scan-1m-ms': { unit: 'ms', better: 'lower', target: '< 50 ms' },
  'search-1m-ms': { unit: 'ms', better: 'lower', target: '< 50 ms' },
  'revoke-1m': { unit: 'ms', better: 'lower', target: '1×' },
} as const satisfies Record<string, CaseFacts>;

export class MillionBench {
  readonly #large = new StoredCa(1_000_000);
  readonly #small = new StoredCa(2_000);

  async prepare(): Promise<void> {
    await this.#large.prepare();
    await this.#small.prepare();
  }

  /** Starts and ends the CA each time. */
  contender(): Contender {
    return {
      name: 'nest-hsm',
      run: async (): Promise<Samples> => {
        const seconds = await this.#large.start();
        try {
          return {
            'start-1m-s': { value: seconds },
            'search-1m-ms': { value: await this.#large.searchMilliseconds() },
            'revoke-1m': { value: await this.#large.revokeMilliseconds() },
            'expiry-scan-1m-ms': { value: await this.#large.scanMilliseconds() },
          };
        } finally {
          await this.#large.stop();
        }
      },
    };
  }

  small(): Contender {
    return {
      name: 'with 2,000',
      run: async (): Promise<Samples> => {
        await this.#small.start();
        try {
          return { 'revoke-1m': { value: await this.#small.revokeMilliseconds() } };
        } finally {
          await this.#small.stop();
        }
      },
    };
  }

  remove(): void {
    this.#large.remove();
    this.#small.remove();
  }
}
