import { hash } from 'node:crypto';
import type { AuditRecord } from './record.js';

/** How far a chain goes: what the next record must follow. */
export interface ChainPosition {
  /** Of the last record; 0 before the first. */
  readonly seq: number;
  /** SHA-256 of its line without the newline, in hexadecimal; 64 zeros before the first. */
  readonly hash: string;
}

export const chainStart: ChainPosition = { seq: 0, hash: '0'.repeat(64) };

/** @param line  the exact bytes, without the newline */
export function hashOfLine(line: Uint8Array | string): string {
  return hash('sha256', line);
}

/** Why a record does not follow that position. */
export interface ChainFault {
  readonly field: 'seq' | 'prev';
  readonly want: number | string;
  readonly got: number | string;
}

/** @returns undefined when the record follows */
export function chainFault(position: ChainPosition, { seq, prev }: AuditRecord): ChainFault | undefined {
  if (seq !== position.seq + 1) return { field: 'seq', want: position.seq + 1, got: seq };
  if (prev !== position.hash) return { field: 'prev', want: position.hash, got: prev };
  return undefined;
}

/** The position after a record that follows the one before. @param line  its exact bytes, without the newline */
export function positionAfter({ seq }: AuditRecord, line: Uint8Array): ChainPosition {
  return { seq, hash: hashOfLine(line) };
}
