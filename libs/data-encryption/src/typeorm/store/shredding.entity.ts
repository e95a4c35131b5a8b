import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The tombstone of a tenant, and how far its shredding has come. */
@Entity('data_encryption_shredding')
export class ShreddingEntity {
  @PrimaryColumn({ type: 'varchar', length: 255 })
  tenant: string;

  /** `waiting` for every process to forget its keys, `acknowledged`, `doomed` (the KEKs are named), `destroying` them, `shredded`. */
  @Column({ type: 'varchar', length: 16 })
  state: string;

  @Column({ type: 'varchar', length: 200 })
  operator: string;

  /** ISO 8601, UTC. */
  @Column({ name: 'begun_at', type: 'varchar', length: 32 })
  begunAt: string;

  /** Processes that forgot its keys, and those that had been silent for so long that they could not use them. */
  @Column({ type: 'int', default: 0 })
  acknowledged: number;

  @Column({ type: 'int', default: 0 })
  silent: number;

  /** A JSON array of the KEKs that are to be destroyed: id and label. */
  @Column({ type: 'text', default: '[]' })
  keks: string;

  /** The last receipt, and its signature in base64; empty until there is one. */
  @Column({ type: 'text', default: '' })
  receipt: string;

  @Column({ type: 'text', default: '' })
  signature: string;
}

/** A process that may have keys of tenants in memory. */
@Entity('data_encryption_process')
export class ProcessEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 })
  id: string;

  @Column({ type: 'varchar', length: 255 })
  host: string;

  @Column({ type: 'int' })
  pid: number;

  /** Counts how often it has looked for tombstones. */
  @Column({ type: 'int' })
  beats: number;
}
