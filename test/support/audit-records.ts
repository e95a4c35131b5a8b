import { join } from 'node:path';
import { chainFault, type ChainPosition, chainStart, positionAfter } from '../../libs/hsm/src/audit/chain.js';
import type { AuditRecord, UnreadableBytes } from '../../libs/hsm/src/audit/record.js';
import { listChains } from '../../libs/hsm/src/audit/segment-name.js';
import { readSegment } from '../../libs/hsm/src/audit/segment-reader.js';

/** A record of some kind, with whichever fields it has. */
export type AnyRecord = AuditRecord & {
  readonly [Field in 'operation' | 'result' | 'correlationId' | 'digest' | 'client' | 'mechanism']?: string;
} & { readonly [Field in 'attempt' | 'intent' | 'open' | 'lost']?: number } & {
  readonly key?: { readonly id: string; readonly label?: string };
  readonly torn?: readonly UnreadableBytes[];
};

export interface ReadChain {
  readonly name: string;
  readonly records: readonly AnyRecord[];
  /** What could not be read. */
  readonly unreadable: readonly UnreadableBytes[];
  /** The last record, which nothing but a checkpoint proves. */
  readonly end: ChainPosition;
}

/** Every chain in a directory, by name. @throws when a record does not follow the one before */
export async function readChains(directory: string): Promise<ReadChain[]> {
  const chains = await listChains(directory);
  return Promise.all(chains.map(({ name, segments }) => readChain(directory, name, segments)));
}

/** The records of all chains, one chain after the other. @throws when one does not follow the one before */
export async function auditRecords(directory: string): Promise<AnyRecord[]> {
  return (await readChains(directory)).flatMap(({ records }) => records);
}

async function readChain(directory: string, name: string, segments: readonly string[]): Promise<ReadChain> {
  const records: AnyRecord[] = [];
  const unreadable: UnreadableBytes[] = [];
  let end = chainStart;
  for (const segment of segments) {
    for await (const part of readSegment(join(directory, segment))) {
      if ('unreadable' in part) {
        unreadable.push(part.unreadable);
        continue;
      }
      const fault = chainFault(end, part.record);
      if (fault) throw new Error(`${segment} at ${part.offset}: ${fault.field}: want ${fault.want}, got ${fault.got}`);
      end = positionAfter(part.record, part.line);
      records.push(part.record);
    }
  }
  return { name, records, unreadable, end };
}
