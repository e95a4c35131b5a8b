import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A part of a table that is being encrypted anew: how far that has come, and who is at it. */
@Entity('data_encryption_range')
export class RangeEntity {
  @PrimaryColumn({ name: 'table_id', type: 'varchar', length: 255 })
  tableId: string;

  /** Passes over a table are counted from 1. */
  @PrimaryColumn({ type: 'int' })
  pass: number;

  /** Parts of a pass are counted from 0. */
  @PrimaryColumn({ type: 'int' })
  part: number;

  /** The primary key after which it begins, a JSON array; null: with the first row. */
  @Column({ name: 'after_key', type: 'text', nullable: true })
  afterKey: string | null;

  /** The primary key with which it ends, a JSON array; null: with the last row. */
  @Column({ name: 'up_to_key', type: 'text', nullable: true })
  upToKey: string | null;

  /** Rows that it had when the pass began. */
  @Column({ name: 'of_rows', type: 'int' })
  ofRows: number;

  /** Rows looked at. */
  @Column({ name: 'seen_rows', type: 'int', default: 0 })
  rows: number;

  /** Cells encrypted anew. */
  @Column({ type: 'int', default: 0 })
  replaced: number;

  /** Rows that somebody else changed meanwhile. */
  @Column({ type: 'int', default: 0 })
  missed: number;

  /** Rows with a cell that does not decrypt. */
  @Column({ type: 'int', default: 0 })
  failed: number;

  /** Names the worker that is at it; empty: nobody yet. */
  @Column({ type: 'varchar', length: 36, default: '' })
  worker: string;

  /** Until when nobody else takes it over: ISO 8601, UTC. */
  @Column({ name: 'held_until', type: 'varchar', length: 32, default: '' })
  heldUntil: string;

  @Column({ name: 'is_finished', type: 'int', default: 0 })
  isFinished: number;
}
