import type { DatabaseType } from '../database-type.js';
import { DataKeyEntity } from './data-key.entity.js';
import { KeySequenceEntity } from './key-sequence.entity.js';
import { RangeEntity } from './range.entity.js';
import { ProcessEntity, ShreddingEntity } from './shredding.entity.js';

const everywhere = [DataKeyEntity, RangeEntity, ShreddingEntity, ProcessEntity];

/** The tables of this library. */
export function libraryEntities(type: DatabaseType): readonly (new () => object)[] {
  return type === 'mariadb' ? [...everywhere, KeySequenceEntity] : everywhere;
}
