import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ChainFiles, listChains } from '@nest-hsm/hsm';
import { AuditError, fileFault } from '../errors.js';
import { openRegular } from './lines.js';

/** One agent's chain, from all directories that have segments of it. */
export interface Chain {
  /** `MEMBER.SLOT`. */
  readonly name: string;
  readonly member: string;
  /** In order. */
  readonly segments: readonly ChainSegment[];
}

export interface ChainSegment {
  readonly name: string;
  readonly path: string;
  /** Bytes beyond may still be taken back; none when absent. */
  readonly settledBytes?: number;
}

/** An agent whose write fails in the middle, on a full disk, takes back at once what it wrote of it. */
const settlingMilliseconds = 25;

/** As members are named (`hsmConfigSchema`); a file that somebody named otherwise is no segment. */
const memberName = /^[a-z0-9][a-z0-9._-]{0,31}$/i;

/**
 * Every chain that has a segment in one of the directories, by name. Segments that were moved elsewhere are found when that
 * directory is named too.
 * @throws {AuditError} ERR_AUDIT_TRAIL_UNREADABLE | ERR_AUDIT_CONFIG_INVALID when two directories have the same segment
 */
export async function readChains(directories: readonly string[]): Promise<Chain[]> {
  const chains = new Map<string, { name: string; member: string; segments: ChainSegment[] }>();
  for (const directory of directories) {
    for (const { name, member, segments } of await list(directory)) {
      const chain = chains.get(name) ?? { name, member, segments: [] };
      chains.set(name, chain);
      chain.segments.push(...segments.map((segment) => ({ name: segment, path: join(directory, segment) })));
    }
  }
  return [...chains.values()].map((chain) => ({ ...chain, segments: inOrder(chain.segments) })).toSorted(byName);
}

/**
 * The same of a trail that is being written, for who goes by it for good: only what has been there for a moment, and whatever one
 * of two listings has, since a segment that is moved from one directory to another may escape one.
 * @throws {AuditError} as `readChains`
 */
export async function readSettledChains(directories: readonly string[]): Promise<Chain[]> {
  const first = await readChains(directories);
  const before = new Map<string, number>();
  for (const { segments } of first) before.set(segments[segments.length - 1].name, await lastSize(segments));
  await pause(settlingMilliseconds);
  const chains = united(first, await readChains(directories));
  return Promise.all(
    chains.map(async ({ segments, ...chain }) => {
      const last = segments[segments.length - 1];
      const settledBytes = Math.min(before.get(last.name) ?? 0, await lastSize(segments));
      return { ...chain, segments: [...segments.slice(0, -1), { ...last, settledBytes }] };
    }),
  );
}

/**
 * Puts a segment on the disk: who goes by a record for good must not have it taken back by a power failure. The agent syncs what
 * it waits for and no more.
 * @throws {AuditError} ERR_AUDIT_TRAIL_UNREADABLE
 */
export async function syncSegment({ path }: ChainSegment): Promise<void> {
  try {
    const segment = await openRegular(path, constants.O_RDONLY);
    await segment.datasync().finally(() => segment.close());
  } catch (cause) {
    throw fileFault('ERR_AUDIT_TRAIL_UNREADABLE', path, 'a segment to sync', cause);
  }
}

/** One that cannot be had will be found so when it is read. */
async function lastSize(segments: readonly ChainSegment[]): Promise<number> {
  return stat(segments[segments.length - 1].path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Each segment where it was seen last. */
function united(first: readonly Chain[], second: readonly Chain[]): Chain[] {
  const chains = new Map<string, Chain>();
  for (const chain of [...first, ...second]) {
    const known = chains.get(chain.name)?.segments ?? [];
    const segments = new Map([...known, ...chain.segments].map((segment) => [segment.name, segment]));
    chains.set(chain.name, { ...chain, segments: [...segments.values()].toSorted(inNumberOrder) });
  }
  return [...chains.values()].toSorted(byName);
}

async function list(directory: string): Promise<ChainFiles[]> {
  try {
    return (await listChains(directory)).filter(({ member }) => memberName.test(member));
  } catch (cause) {
    throw fileFault('ERR_AUDIT_TRAIL_UNREADABLE', directory, 'a directory of audit segments', cause);
  }
}

function inOrder(segments: readonly ChainSegment[]): ChainSegment[] {
  const sorted = segments.toSorted(inNumberOrder);
  const twice = sorted.findIndex(({ name }, index) => name === sorted[index + 1]?.name);
  if (twice < 0) return sorted;
  const [one, other] = sorted.slice(twice);
  throw new AuditError(
    'ERR_AUDIT_CONFIG_INVALID',
    `segment ${one.name}: want it in one directory, got ${one.path} and ${other.path}`,
  );
}

function byName(one: Chain, other: Chain): number {
  return compare(one.member, other.member) || inNumberOrder(one, other);
}

/** Names that differ in one decimal number only: a longer one has the greater number. */
export function inNumberOrder(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name.length - other.name.length || compare(one.name, other.name);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
