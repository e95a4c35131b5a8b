import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Scope } from '../../access/scope.js';
import type { ApiTokenRecord } from '../api-token-store.js';
import { optionalWords, time, words } from './columns.js';

/** One row per API token ever made. The token itself is nowhere. */
@Entity('ca_api_token')
export class ApiTokenEntity implements ApiTokenRecord {
  @PrimaryColumn('varchar', { length: 16 })
  id: string;

  @Column('varchar', { name: 'token_sha256', length: 64 })
  tokenSha256: string;

  @Column('varchar', { length: 64 })
  name: string;

  @Column('text', { transformer: words })
  scopes: Scope[];

  @Column('text', { nullable: true, transformer: optionalWords })
  profiles?: string[];

  @Column('bigint', { name: 'created_at', transformer: time })
  createdAt: Date;

  @Column('text', { name: 'created_by' })
  createdBy: string;

  @Column('bigint', { name: 'expires_at', transformer: time })
  expiresAt: Date;

  @Column('bigint', { name: 'revoked_at', nullable: true, transformer: time })
  revokedAt?: Date;
}
