import type { DataSource } from 'typeorm';
import type { EncryptedEntities } from '../encrypted-entity.js';
import { libraryEntities } from '../store/library-entities.js';
import { libraryText } from './library-text.js';

/** base64: an octet a character, and no two texts are equal that are not the same. */
export const cellText = { charset: 'ascii', collation: 'ascii_bin' } as const;

/**
 * Gives text columns the types that they need on MariaDB, from where migrations and `synchronize` take them: it compares text by a
 * collation, which ignores case unless a column says otherwise, and its TEXT ends after 65,535 octets.
 */
export function fitColumns(dataSource: DataSource, entities: EncryptedEntities): void {
  for (const entity of libraryEntities('mariadb')) {
    for (const column of dataSource.getMetadata(entity).columns) {
      if (column.type === 'varchar' || column.type === 'text') Object.assign(column, libraryText);
      if (column.type === 'text') column.type = 'longtext';
    }
  }
  for (const { ciphers, indexes } of entities.values()) {
    for (const column of ciphers.keys()) Object.assign(column, cellText, { type: 'longtext' });
    for (const { column } of indexes.values()) Object.assign(column, cellText);
  }
}
