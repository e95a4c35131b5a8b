import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmConfig, type HsmKey } from '@nest-hsm/hsm';
import type { VirtualHsm } from '../../test/chaos/virtual-hsm.js';

const callers = 16;
const warmUpMilliseconds = 2_000;
const beforeMilliseconds = 1_000;
const frozenMilliseconds = 4_000;
const afterMilliseconds = 1_000;
const bucketMilliseconds = 25;
const pollMilliseconds = 2;
const message = Buffer.from('to be signed by a fleet');

/** One freeze of one member of two, as 16 callers saw it. Times in milliseconds from the freeze on. */
export interface Timeline {
  /** ISO 8601, the day. */
  readonly date: string;
  readonly machine: string;
  readonly bucketMilliseconds: number;
  readonly runs: readonly TimelineRun[];
}

export interface TimelineRun {
  /** Whether calls that took long were made on the other member too. */
  readonly hedged: boolean;
  readonly failed: number;
  readonly marks: readonly { readonly name: string; readonly at: number }[];
  /** The calls that ended in each stretch of time. */
  readonly buckets: readonly Bucket[];
}

interface Bucket {
  readonly at: number;
  readonly calls: number;
  readonly median: number;
  readonly longest: number;
}

export async function recordTimeline(config: HsmConfig, key: HsmKey, device: VirtualHsm): Promise<Timeline> {
  const runs: TimelineRun[] = [];
  for (const hedged of [false, true]) runs.push(await recordFreeze(config, key, device, hedged));
  const [{ model }, { length }] = [cpus()[0], cpus()];
  const machine = `${length} × ${model.trim()}, Node.js ${process.versions.node}`;
  return { date: new Date().toISOString().slice(0, 10), machine, bucketMilliseconds, runs };
}

async function recordFreeze(config: HsmConfig, key: HsmKey, device: VirtualHsm, hedged: boolean): Promise<TimelineRun> {
  const ended: { at: number; took: number }[] = [];
  const marks: { name: string; at: number }[] = [];
  let frozenAt = Infinity;
  let isOver = false;
  let failed = 0;
  const mark = (name: string): void => void marks.push({ name, at: Math.max(0, performance.now() - frozenAt) });

  const hsm = await Hsm.open(config, {
    agentStarted: () => {
      if (frozenAt < Infinity) mark('new agent logged in');
    },
  });
  const isServing = (): boolean => hsm.members[0].state === 'serving';
  const all = Array.from({ length: callers }, async () => {
    while (!isOver) {
      const start = performance.now();
      // As issuers do, who never hedge, or as TLS handshakes do.
      await hsm.sign(key, 'ecdsa-sha256', message, { verify: true, hedge: hedged }).catch(() => failed++);
      ended.push({ at: performance.now(), took: performance.now() - start });
    }
  });
  await pause(warmUpMilliseconds);
  const startedAt = performance.now();
  await pause(beforeMilliseconds);

  frozenAt = performance.now();
  device.freeze();
  mark('frozen');
  while (isServing() && !hsm.members[0].isSuspect) await pause(pollMilliseconds);
  mark('suspect: others are asked');
  while (isServing()) await pause(pollMilliseconds);
  mark('agent killed');
  await pause(Math.max(0, frozenMilliseconds - (performance.now() - frozenAt)));
  device.thaw();
  mark('thawed');
  while (!isServing()) await pause(pollMilliseconds);
  mark('serves again');
  await pause(afterMilliseconds);
  isOver = true;
  await Promise.all(all);
  await hsm.close();

  const seen = ended.filter(({ at }) => at >= startedAt);
  return { hedged, failed, marks, buckets: inBuckets(seen, frozenAt) };
}

function inBuckets(ended: readonly { at: number; took: number }[], zero: number): Bucket[] {
  const buckets = new Map<number, number[]>();
  for (const { at, took } of ended) {
    const index = Math.floor((at - zero) / bucketMilliseconds);
    buckets.set(index, [...(buckets.get(index) ?? []), took]);
  }
  return [...buckets]
    .toSorted(([a], [b]) => a - b)
    .map(([index, unsorted]) => {
      const took = unsorted.toSorted((a, b) => a - b);
      return {
        at: index * bucketMilliseconds,
        calls: took.length,
        median: rounded(took[took.length >> 1]),
        longest: rounded(took[took.length - 1]),
      };
    });
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 100) / 100;
}
