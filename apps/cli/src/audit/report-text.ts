import type { ChainReport, CheckpointsReport, TrailReport } from '@nest-hsm/audit';
import { printable } from '../printable.js';

/** What `audit verify` says: each chain, what is wrong with it, and up to where it is proven. */
export function reportText(report: TrailReport): string[] {
  const lines = [
    ...checkpointsText(report.checkpoints),
    ...report.chains.flatMap((chain) => chainText(chain, report.checkpoints)),
    verdict(report),
  ];
  return lines.map(printable);
}

function checkpointsText({ trail, last, anchored, fingerprint, isPinned, faults }: CheckpointsReport): string[] {
  const known = last === undefined ? 'no checkpoints' : `trail ${trail}, checkpoints 1 to ${last}`;
  const key = fingerprint && `, signed by key ${fingerprint}${isPinned ? '' : ', which nobody pinned'}`;
  const anchor = anchored === undefined ? '' : `, anchored at ${anchored}`;
  return [`${known}${key ?? ''}${anchor}`, ...faults.map((fault) => `  ALTERED ${fault}`)];
}

function chainText(chain: ChainReport, checkpoints: CheckpointsReport): string[] {
  const { name, records, segments, lastSeq, lastTime, findings, findingCount, notes, noteCount } = chain;
  const end = lastTime === undefined ? '' : `, the last is ${lastSeq} of ${lastTime}`;
  return [
    `chain ${name}: ${records} records in ${segments} segments${end}`,
    ...findings.map(({ kind, segment, offset, message }) => {
      const at = segment === undefined ? '' : ` ${segment}${offset === undefined ? '' : `, byte ${offset}`}:`;
      return `  ALTERED (${kind})${at} ${message}`;
    }),
    ...more(findingCount - findings.length, 'findings'),
    ...notes.map(({ kind, seq, time, message }) => {
      const at = seq === undefined ? '' : ` record ${seq} of ${time}:`;
      return `  note (${kind})${at} ${message}`;
    }),
    ...more(noteCount - notes.length, 'notes'),
    ...(findingCount > 0 ? [] : proof(chain, checkpoints)),
  ];
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`  and ${count} more ${what}`] : [];
}

function proof(
  { proven: { anchored, checkpointed }, lastSeq }: ChainReport,
  { isPinned }: CheckpointsReport,
): string[] {
  const lines: string[] = [];
  if (anchored) lines.push(`  proven up to record ${anchored.seq} by anchored checkpoint ${anchored.checkpoint}`);
  if (checkpointed && checkpointed.checkpoint !== anchored?.checkpoint) {
    const trust = isPinned ? 'which the anchor does not know yet' : 'which nobody pinned';
    lines.push(`  complete only up to checkpoint ${checkpointed.checkpoint} (record ${checkpointed.seq}), ${trust}`);
  }
  if (lines.length === 0) return ['  no checkpoint: its records follow one another, and nothing else is proven'];
  const seq = checkpointed?.seq ?? anchored?.seq ?? 0;
  if (seq < lastSeq)
    lines.push(
      `  records ${seq + 1} to ${lastSeq} follow one another, but no checkpoint vouches for them: whoever could write the files could have rewritten them`,
    );
  return lines;
}

function verdict({ isIntact, isAnchored, chains, checkpoints }: TrailReport): string {
  if (!isIntact) return 'ALTERED: this is not the trail that was written';
  if (chains.length === 0) return 'nothing there';
  if (isAnchored) return 'intact, and anchored';
  return checkpoints.isPinned
    ? 'intact, but not anchored: the anchor knows none of these chains'
    : 'intact as far as it can be known without an anchor';
}
