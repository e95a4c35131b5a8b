import { readdir } from 'node:fs/promises';

/** As many agents may write for one member at once, each its own chain. */
export const maximumChains = 64;

/** Which chain, and which file of it. */
export interface SegmentName {
  readonly member: string;
  /** 1 to `maximumChains`. */
  readonly slot: number;
  /** 1 for the first segment. */
  readonly number: number;
}

/** The files of one chain in a directory, in order. */
export interface ChainFiles {
  /** `MEMBER.SLOT`. */
  readonly name: string;
  readonly member: string;
  readonly slot: number;
  /** File names. */
  readonly segments: readonly string[];
}

/** @returns `MEMBER.SLOT.NNNNNN.jsonl` */
export function segmentName({ member, slot, number }: SegmentName): string {
  return `${member}.${slot}.${String(number).padStart(6, '0')}.jsonl`;
}

/** @returns undefined when a file of that name is no segment */
export function parseSegmentName(name: string): SegmentName | undefined {
  const [, member, slot, number] = /^(.+)\.([1-9]\d?)\.(\d{6,15})\.jsonl$/.exec(name) ?? [];
  if (member === undefined) return undefined;
  const parsed = { member, slot: Number(slot), number: Number(number) };
  // One name for one segment: no leading zeros beyond six digits.
  return parsed.slot <= maximumChains && segmentName(parsed) === name ? parsed : undefined;
}

/** Every chain that has a file in the directory, by member and slot. @throws what the file system says */
export async function listChains(directory: string): Promise<ChainFiles[]> {
  const chains = new Map<string, SegmentName[]>();
  for (const file of await readdir(directory)) {
    const segment = parseSegmentName(file);
    if (segment === undefined) continue;
    const name = `${segment.member}.${segment.slot}`;
    chains.set(name, [...(chains.get(name) ?? []), segment]);
  }
  return [...chains]
    .map(([name, files]) => {
      const { member, slot } = files[0];
      const segments = files.toSorted((one, other) => one.number - other.number).map(segmentName);
      return { name, member, slot, segments };
    })
    .toSorted((one, other) => one.member.localeCompare(other.member, 'en') || one.slot - other.slot);
}
