import { setTimeout as delay } from 'node:timers/promises';
import { Tombstones } from '../../shredding/tombstones.js';
import type { ProcessEntity } from '../store/shredding.entity.js';
import type { ShreddingStore } from '../store/shredding.store.js';

/** A process that has not forgotten the keys of a tenant yet. */
export interface WaitedProcess {
  readonly host: string;
  readonly pid: number;
}

export interface Acknowledgements {
  readonly acknowledged: number;
  readonly silent: number;
}

export interface WaitOptions {
  readonly leaseSeconds: number;
  readonly signal?: AbortSignal;
  readonly onWaiting?: (processes: readonly WaitedProcess[]) => void;
}

/** A process that looked twice since has looked once from beginning to end. */
const beatsOfALook = 2;

/**
 * Waits until every process that may hold keys of a tenant has forgotten them. One that has not been seen for so long that it may not use any
 * key counts as silent: it was killed, or cannot reach the database. Its row is taken away; if it comes back it says that it is there again.
 * @throws the signal's reason, or the database's error
 */
export async function acknowledgements(
  store: ShreddingStore,
  { leaseSeconds, signal, onWaiting }: WaitOptions,
): Promise<Acknowledgements> {
  const silence = Tombstones.silence(leaseSeconds);
  // By our own clock: those of other hosts may be wrong.
  const waited = new Map<
    string,
    { readonly row: ProcessEntity; readonly from: number; beats: number; seenAt: number }
  >();
  for (const row of await store.processes()) {
    waited.set(row.id, { row, from: row.beats, beats: row.beats, seenAt: performance.now() });
  }
  let [acknowledged, silent] = [0, 0];
  while (waited.size > 0) {
    signal?.throwIfAborted();
    const now = new Map((await store.processes()).map((row) => [row.id, row]));
    for (const [id, each] of waited) {
      const beats = now.get(id)?.beats;
      if (beats === undefined || beats >= each.from + beatsOfALook) {
        acknowledged++;
        waited.delete(id);
      } else if (beats !== each.beats) {
        Object.assign(each, { beats, seenAt: performance.now() });
      } else if (performance.now() - each.seenAt > silence) {
        silent++;
        waited.delete(id);
        await store.leave(id);
      }
    }
    if (waited.size === 0) break;
    onWaiting?.([...waited.values()].map(({ row: { host, pid } }) => ({ host, pid })));
    await delay(Math.min(1_000, leaseSeconds * 100), undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
  return { acknowledged, silent };
}
