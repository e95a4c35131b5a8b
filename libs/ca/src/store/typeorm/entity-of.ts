import type { EntityMetadata } from 'typeorm';
import type { Row } from './sql.js';

/**
 * A row as the entity of its columns. TypeORM's own way from a question by primary key to its answer takes a third of a
 * millisecond of the event loop, whoever asks.
 */
export function entityOf<Entity>({ columns }: EntityMetadata, row: Row): Entity {
  return Object.fromEntries(
    columns.map(({ propertyName, databaseName, transformer }) => {
      const transformers = [transformer ?? []].flat();
      const read = transformers.reduceRight<unknown>((value, each) => each.from(value), row[databaseName]);
      return [propertyName, read];
    }),
  ) as Entity;
}
