import type { EntityMetadata } from 'typeorm';
import { CheckMetadata } from 'typeorm/metadata/CheckMetadata.js';
import { indexCharacters } from '../blind-index.js';
import { encryptedEntityOptions } from './decorators.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';

/** A cell of an empty plaintext: header, nonce and tag. */
const leastCharacters = 68;

/**
 * Adds the CHECK constraints that entities ask for to their metadata, from where migrations and `synchronize` take them. They tell
 * ciphertext from plaintext that is written by mistake; whoever wants to can write what looks like a cell and does not decrypt.
 */
export function addCheckConstraints(entities: EncryptedEntities): void {
  for (const entity of entities.values()) {
    const { metadata } = entity;
    // Single-table inheritance: the parent has the columns of all its children.
    const isTable = metadata.tableType !== 'entity-child';
    if (isTable && asksForChecks(metadata)) metadata.checks.push(...checkConstraints(entity));
  }
}

export function asksForChecks({ target }: EntityMetadata): boolean {
  return encryptedEntityOptions(target)?.check ?? false;
}

/** Those of an entity, whether it asks for them or not. */
export function checkConstraints({ metadata, ciphers, indexes }: EncryptedEntity): readonly CheckMetadata[] {
  const { driver, namingStrategy } = metadata.dataSource;
  const expressions = [
    ...[...ciphers.keys()].map(({ databaseName }) => {
      const name = driver.escape(databaseName);
      return `length(${name}) >= ${leastCharacters} AND substr(${name}, 1, 4) = 'nhsm'`;
    }),
    ...[...indexes.values()].map(({ column }) => `length(${driver.escape(column.databaseName)}) = ${indexCharacters}`),
  ];
  return expressions.map((expression) => {
    const args = { target: metadata.target, expression };
    return new CheckMetadata({ entityMetadata: metadata, args }).build(namingStrategy);
  });
}
