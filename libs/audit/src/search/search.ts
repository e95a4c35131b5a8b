import type { AuditRecord } from '@nest-hsm/hsm';
import { type Chain, readChains } from '../trail/chain.js';
import { walkChain } from '../trail/chain-walk.js';
import { type RecordFilter, recordMatcher } from './filter.js';

export interface FoundRecord {
  /** `MEMBER.SLOT`. */
  readonly chain: string;
  readonly member: string;
  /** File name. */
  readonly segment: string;
  readonly record: AuditRecord;
  /** The exact line, without its newline. */
  readonly line: Buffer;
}

export interface SearchOptions {
  readonly directories: readonly string[];
  readonly filter?: RecordFilter;
  /** Told when the trail is not what its agents wrote: what is found is then not all, or not true. */
  readonly onFinding?: (message: string) => void;
}

/**
 * Records that match, in the order of their time as far as each chain is in that order, in memory that does not grow with the
 * trail.
 * @throws {AuditError} ERR_AUDIT_ARGUMENT_INVALID | ERR_AUDIT_TRAIL_UNREADABLE | ERR_AUDIT_CONFIG_INVALID
 */
export async function* searchTrail(options: SearchOptions): AsyncGenerator<FoundRecord, void, undefined> {
  const { directories, filter = {}, onFinding } = options;
  const matches = recordMatcher(filter);
  const chains = (await readChains(directories)).map((chain) => matching(chain, matches, onFinding));
  try {
    yield* merged(chains);
  } finally {
    await Promise.all(chains.map((chain) => chain.return()));
  }
}

async function* matching(
  chain: Chain,
  matches: (record: AuditRecord) => boolean,
  onFinding: SearchOptions['onFinding'],
): AsyncGenerator<FoundRecord, void, undefined> {
  const { name, member } = chain;
  for await (const step of walkChain(chain)) {
    if (step.type === 'finding') onFinding?.(`chain ${name}: ${step.finding.message}`);
    if (step.type !== 'record' || !matches(step.record)) continue;
    yield { chain: name, member, segment: step.place.segment, record: step.record, line: step.line };
  }
}

/** The earliest next one of all chains, as long as there is one. */
async function* merged(chains: readonly AsyncGenerator<FoundRecord>[]): AsyncGenerator<FoundRecord, void, undefined> {
  const heads = new Map<AsyncGenerator<FoundRecord>, FoundRecord>();
  const advance = async (chain: AsyncGenerator<FoundRecord>) => {
    const next = await chain.next();
    if (next.done === true) heads.delete(chain);
    else heads.set(chain, next.value);
  };
  for (const chain of chains) await advance(chain);
  while (heads.size > 0) {
    const [chain, head] = [...heads].reduce((one, other) => (other[1].record.time < one[1].record.time ? other : one));
    yield head;
    await advance(chain);
  }
}
