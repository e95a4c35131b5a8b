import type { KeyObject } from 'node:crypto';
import { AuditError, fileFault } from '../errors.js';
import { readLines } from '../trail/lines.js';
import {
  type Checkpoint,
  checkpointHash,
  isSignedBy,
  maximumCheckpointBytes,
  noPrevious,
  parseCheckpoint,
  publicKeyText,
  type SignedCheckpoint,
  statedKey,
} from './checkpoint.js';

/**
 * The checkpoints of a file in order, each held to the one before and to its signature. What follows the last newline was
 * never given out, and is passed over.
 * @param pinned  the key that must have signed them; without it the one that the first names, which proves nothing by itself
 * @throws {AuditError} ERR_AUDIT_CHECKPOINTS_ALTERED | ERR_AUDIT_FILE_UNUSABLE
 */
export async function* readCheckpoints(
  path: string,
  pinned?: KeyObject,
): AsyncGenerator<SignedCheckpoint, void, undefined> {
  let publicKey = pinned;
  let previous: SignedCheckpoint | undefined;
  try {
    for await (const { line, isWhole } of readLines(path, { maximumBytes: maximumCheckpointBytes })) {
      if (!isWhole && line.length <= maximumCheckpointBytes) return;
      const next = isWhole ? parseCheckpoint(line.toString('latin1')) : undefined;
      const number = (previous?.checkpoint.number ?? 0) + 1;
      const fault =
        next === undefined ? 'a line that is none' : whyNotAfter(previous, next, (publicKey ??= statedKey(next)));
      if (next === undefined || fault !== undefined) {
        throw new AuditError('ERR_AUDIT_CHECKPOINTS_ALTERED', `${path}: want checkpoint ${number}, got ${fault}`);
      }
      yield next;
      previous = next;
    }
  } catch (cause) {
    throw fileFault('ERR_AUDIT_FILE_UNUSABLE', path, 'a file of checkpoints', cause);
  }
}

/** @returns what is wrong with a checkpoint as the one after `previous`; undefined when nothing is */
export function whyNotAfter(
  previous: SignedCheckpoint | undefined,
  next: SignedCheckpoint,
  publicKey: KeyObject | undefined,
): string | undefined {
  const { checkpoint } = next;
  const number = (previous?.checkpoint.number ?? 0) + 1;
  if (checkpoint.number !== number) return `number ${checkpoint.number}`;
  if (publicKey === undefined || checkpoint.publicKey !== publicKeyText(publicKey)) return 'one of another key';
  if (!isSignedBy(next, publicKey)) return 'one whose signature is not right';
  if (checkpoint.previous !== (previous === undefined ? noPrevious : checkpointHash(previous))) {
    return 'one that follows another';
  }
  if (new Set(checkpoint.chains.map(({ name }) => name)).size < checkpoint.chains.length)
    return 'one with a chain twice';
  if (previous === undefined) return undefined;
  if (checkpoint.trail !== previous.checkpoint.trail) return `one of trail ${checkpoint.trail}`;
  return retreat(previous.checkpoint, checkpoint);
}

/** A chain only ever grows. */
function retreat(previous: Checkpoint, next: Checkpoint): string | undefined {
  const heads = new Map(next.chains.map((head) => [head.name, head]));
  for (const { name, id, seq, hash } of previous.chains) {
    const head = heads.get(name);
    if (head === undefined) return `one without chain ${name}`;
    if (head.id !== id) return `one with another chain ${name}`;
    if (head.seq < seq || (head.seq === seq && head.hash !== hash)) return `one in which chain ${name} went back`;
  }
  return undefined;
}
