import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { keyScopeKinds } from '../key-scope.js';
import { databaseType } from './database-type.js';
import type { ColumnCipher } from '../column-cipher.js';
import type { EncryptedEntityOptions } from './decorators.js';
import type { PlaintextColumn } from './plaintext-column.js';
import { refuseUntilInstalled } from './refuse-until-installed.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';
import { EncryptedNames } from './encrypted-names.js';
import { sqlNames } from './sql-names.js';
import { isWord } from './sql-tokens.js';

/** One sentence that names the entity, the property and the way out. */
export type MappingFault = string;

/** What one encrypted column must not be. */
export function columnFaults(
  metadata: EntityMetadata,
  column: ColumnMetadata,
  { name, encryptsNull }: ColumnCipher,
): MappingFault[] {
  const isIndexed = metadata.indices.some((index) => index.columns.includes(column));
  const isUnique = metadata.uniques.some((unique) => unique.columns.includes(column));
  const checks: readonly [boolean, string][] = [
    [
      column.transformer !== refuseUntilInstalled,
      'want @EncryptedColumn to make the column, got another column decorator on the property',
    ],
    [
      !isWord(column.propertyName),
      'want a property name of letters, digits and _, got another: conditions are text, and name it',
    ],
    [metadata.tableType === 'view', 'want a table, got a view: its rows have no key to bind cells to'],
    [column.isPrimary, 'want a plain column, got a primary key: use a uuid and encrypt a column beside it'],
    [column.relationMetadata !== undefined, 'want a plain column, got the key of a relation: relate by a plain column'],
    [
      column.default !== undefined && column.default !== null,
      'want no default: the database would store it in plaintext; set it in the class',
    ],
    [
      isIndexed || isUnique,
      'want no index or unique constraint, since equal values have different cells: make it searchable',
    ],
    [
      encryptsNull && !column.isInsert,
      "want nullable 'encrypted' of a column that is inserted, got insert false: every row has a cell",
    ],
    [
      encryptsNull && isOfSomeRows(metadata, column),
      "want nullable 'encrypted' of a column that every row has, got one of a child entity or an embedded class under single-table inheritance",
    ],
  ];
  return checks.filter(([isFault]) => isFault).map(([, fault]) => `${name}: ${fault}`);
}

/** Single-table inheritance: rows of other entities have NULL there, and TypeORM makes the columns of embedded classes so too. */
function isOfSomeRows({ inheritancePattern, dataSource }: EntityMetadata, column: ColumnMetadata): boolean {
  if (inheritancePattern !== 'STI') return false;
  const isChilds = dataSource.entityMetadatas.some(
    ({ tableType, target }) => tableType === 'entity-child' && target === column.target,
  );
  return isChilds || column.embeddedMetadata !== undefined;
}

/** What the scope of an entity's keys must not be. */
export function keyScopeFaults(
  { name }: EntityMetadata,
  { keyScope = 'table', tenantColumn }: EncryptedEntityOptions,
  knowsTenant: boolean,
): MappingFault[] {
  if (!keyScopeKinds.includes(keyScope)) return [`${name}: want keyScope of ${keyScopeKinds.join(', ')}, got another`];
  const isOfTenants = keyScope === 'tenant';
  if (!isOfTenants && tenantColumn !== undefined)
    return [`${name}: want tenantColumn with keyScope tenant, got it with ${keyScope}`];
  if (isOfTenants && tenantColumn === undefined && !knowsTenant)
    return [`${name}: want a way to know its tenants, got none; the way out: the option tenant, or a tenantColumn`];
  return [];
}

/** What a column of plaintext beside one of cells must not be. */
export function plaintextFaults({ column, cells }: PlaintextColumn, name: string): MappingFault[] {
  const checks: readonly [boolean, string][] = [
    [
      column.databaseName.toLowerCase() === cells.databaseName.toLowerCase(),
      'want another name for the column of cells than for that of its plaintext, got the same',
    ],
    [
      column.default !== undefined && column.default !== null,
      'want no default of its plaintext: it would have no cell',
    ],
  ];
  return checks.filter(([isFault]) => isFault).map(([, fault]) => `${name}: ${fault}`);
}

/** What must not be anywhere in a data source with encrypted entities. */
export function entityFaults(dataSource: DataSource, entities: EncryptedEntities): MappingFault[] {
  const encrypted = [...entities.values()];
  return [
    ...sharedIds(encrypted),
    ...generatedKeyFaults(encrypted),
    ...dataSource.entityMetadatas.flatMap((metadata) => referenceFaults(metadata, entities)),
    ...encrypted.flatMap(expressionFaults),
    ...statementFaults(dataSource, entities),
  ];
}

const ownIds = 'a tableId, columnId and type of its own, got those or the database column of';

/** Cells are told apart by table and column ids: one id names one database column, and a database column has one id and type. */
function sharedIds(encrypted: readonly EncryptedEntity[]): MappingFault[] {
  const faults: MappingFault[] = [];
  const claims = new Map<string, { readonly owner: string; readonly name: string }>();
  const claim = (what: readonly string[], owner: readonly string[], name: string, want: string) => {
    const key = JSON.stringify(what);
    const earlier = claims.get(key);
    if (earlier === undefined) claims.set(key, { owner: JSON.stringify(owner), name });
    else if (earlier.owner !== JSON.stringify(owner)) {
      faults.push(`${name}: want ${want} ${earlier.name}`);
    }
  };
  for (const { metadata, tableId, keyScope, primaryKey, ciphers } of encrypted) {
    const { name: entity, tablePath } = metadata;
    const ofTable = [tableId, keyScope, String(primaryKey.isBound)];
    claim(['table', tableId], [tablePath], entity, 'a tableId of its own table, got that of');
    claim(
      ['table path', tablePath],
      ofTable,
      entity,
      'one tableId, keyScope and rowBinding for a table, got others than',
    );
    for (const [column, { identity, name }] of ciphers) {
      const databaseColumn = [metadata.tablePath, column.databaseName];
      claim(['id', tableId, identity.columnId], databaseColumn, name, ownIds);
      claim(['column', ...databaseColumn], [tableId, identity.columnId, identity.type], name, ownIds);
    }
  }
  return faults;
}

function generatedKeyFaults(encrypted: readonly EncryptedEntity[]): MappingFault[] {
  const bound = encrypted.filter(({ primaryKey }) => primaryKey.isBound);
  return bound.flatMap(({ metadata }) =>
    metadata.primaryColumns
      .filter((column) => column.generatedIdentity === 'ALWAYS' || column.generationStrategy === 'rowid')
      .map(
        (column) =>
          `${metadata.name}.${column.propertyPath}: want a key known before the row is inserted, got one only the database makes; ` +
          'the way out is a uuid primary key, GENERATED BY DEFAULT, or rowBinding none',
      ),
  );
}

function referenceFaults(metadata: EntityMetadata, entities: EncryptedEntities): MappingFault[] {
  const isEncrypted = (column: ColumnMetadata) => entities.get(column.entityMetadata)?.ciphers.has(column) ?? false;
  return metadata.foreignKeys
    .flatMap((key) => [...key.columns, ...key.referencedColumns])
    .filter(isEncrypted)
    .map((column) => `${metadata.name}: want foreign keys of plain columns, got the encrypted ${column.propertyPath}`);
}

/** Expressions the database would compute over ciphertext. */
function expressionFaults({ metadata, ciphers }: EncryptedEntity): MappingFault[] {
  const names = new Map(
    [...ciphers].flatMap(([{ databaseName, propertyName }, cipher]) =>
      [databaseName, propertyName].map((name) => [name.toLowerCase(), cipher] as const),
    ),
  );
  const expressions = [
    ...metadata.checks.map((check) => ['check constraint', check.expression] as const),
    ...metadata.exclusions.map((exclusion) => ['exclusion constraint', exclusion.expression] as const),
    ...metadata.indices.map((index) => ['index condition', index.where ?? ''] as const),
    ...metadata.columns.map(
      (column) => [`generated column ${column.propertyPath}`, column.asExpression ?? ''] as const,
    ),
    ...metadata.columns.map(
      (column) => [`virtual column ${column.propertyPath}`, column.query?.('self') ?? ''] as const,
    ),
  ];
  return expressions.flatMap(([what, sql]) =>
    sqlNames(sql, databaseType(metadata.dataSource) === 'mariadb')
      .filter(({ parts, isNullTest }) => {
        const cipher = names.get(parts[parts.length - 1]);
        return cipher !== undefined && (!isNullTest || cipher.encryptsNull);
      })
      .map(
        ({ parts }) =>
          `${metadata.name}: want no ${what} over an encrypted column, got one over ${parts[parts.length - 1]}`,
      ),
  );
}

/** Statements that entities are made of, whichever these are: views, and columns that are computed. */
function statementFaults(dataSource: DataSource, entities: EncryptedEntities): MappingFault[] {
  const names = new EncryptedNames(entities, databaseType(dataSource) === 'mariadb');
  return dataSource.entityMetadatas.flatMap(({ name, expression, columns, tableType }) => {
    const view = tableType === 'view' ? expression : undefined;
    const statements = [
      ['view', typeof view === 'function' ? view(dataSource).getQuery() : (view ?? '')] as const,
      ...columns.map((column) => [`virtual column ${column.propertyPath}`, column.query?.('self') ?? ''] as const),
    ];
    return statements.flatMap(([what, sql]) => {
      const found = names.findInStatement(sql);
      if (found === undefined) return [];
      return [`${name}: want no ${what} over an encrypted column, got one over ${found}: it would have ciphertext`];
    });
  });
}
