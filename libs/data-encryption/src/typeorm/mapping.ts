import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { BlindIndex, searchFault } from '../blind-index.js';
import { ColumnCipher } from '../column-cipher.js';
import { type CellType, nullableType, paddedType } from '../cell-type.js';
import { databaseType as databaseTypeOf } from './database-type.js';
import { DataEncryptionError } from '../errors.js';
import {
  type EncryptedColumnDeclaration,
  encryptedColumnDeclaration,
  encryptedEntityOptions,
  type SearchDeclaration,
} from './decorators.js';
import type { EncryptedEntities, EncryptedEntity, IndexedColumn } from './encrypted-entity.js';
import { columnFaults, entityFaults, keyScopeFaults, type MappingFault, plaintextFaults } from './mapping-faults.js';
import type { PlaintextColumn, PlaintextDeclaration } from './plaintext-column.js';
import { PrimaryKey } from './primary-key.js';
import { TenantColumn } from './tenant-column.js';

/**
 * Finds what is to be encrypted and checks that it can be.
 * @param knowsTenant  whether the configuration says which tenant the work under way is for
 * @throws {DataEncryptionError} ERR_DATA_MAPPING_INVALID listing all faults together
 */
export function mapEncryptedEntities(
  dataSource: DataSource,
  databaseId: string,
  knowsTenant = false,
): EncryptedEntities {
  const databaseType = databaseTypeOf(dataSource);
  const faults: MappingFault[] = [];
  const entities = new Map<EntityMetadata, EncryptedEntity>();
  for (const metadata of dataSource.entityMetadatas) {
    const root = rootOf(metadata);
    const options = encryptedEntityOptions(root.target) ?? {};
    const { tableId = root.name, rowBinding = 'pk', keyScope = 'table' } = options;
    const isRowBound = rowBinding !== 'none';
    const ciphers = new Map<ColumnMetadata, ColumnCipher>();
    const indexes = new Map<ColumnMetadata, IndexedColumn>();
    const plaintexts = new Map<ColumnMetadata, PlaintextColumn>();
    for (const column of metadata.columns) {
      const declaration = encryptedColumnDeclaration(column.target, column.propertyName);
      if (declaration === undefined) continue;
      const columnId = columnIdOf(column, declaration.columnId);
      const { plaintext } = declaration;
      const name = `${metadata.name}.${pathBeside(column, plaintext?.property ?? column.propertyName)}`;
      const form = cellForm(declaration);
      if ('fault' in form) {
        faults.push(`${name}: ${form.fault}`);
        continue;
      }
      const identity = { databaseId, tableId, columnId, type: form.type, isRowBound, keyScope };
      const cipher = new ColumnCipher(identity, name, declaration.padTo, plaintext?.phase !== 'dual-write');
      ciphers.set(column, cipher);
      faults.push(...columnFaults(metadata, column, cipher));
      if (plaintext !== undefined) {
        const beside = plaintextOf(metadata, column, plaintext);
        plaintexts.set(column, beside);
        faults.push(...plaintextFaults(beside, name));
      }
      const { search } = declaration;
      if (search === undefined) continue;
      const fault = searchFault(declaration.type, search.normalization);
      if (fault === undefined)
        indexes.set(column, indexOf(metadata, tableId, column, cipher, { ...declaration, search }));
      else faults.push(`${name}: ${fault}`);
    }
    if (ciphers.size === 0) continue;
    const tenantColumn =
      options.tenantColumn === undefined ? undefined : TenantColumn.of(metadata, options.tenantColumn);
    if (typeof tenantColumn === 'string') faults.push(tenantColumn);
    faults.push(...keyScopeFaults(metadata, options, knowsTenant));
    const primaryKey = isRowBound ? PrimaryKey.of(metadata, databaseType) : PrimaryKey.none;
    if (typeof primaryKey === 'string')
      faults.push(`${metadata.name}: ${primaryKey}; the way out is a uuid primary key`);
    else if (typeof tenantColumn !== 'string')
      entities.set(metadata, { metadata, tableId, primaryKey, keyScope, tenantColumn, ciphers, indexes, plaintexts });
  }
  faults.push(...entityFaults(dataSource, entities));
  if (faults.length === 0) return entities;
  throw new DataEncryptionError('ERR_DATA_MAPPING_INVALID', ['encrypted entities:', ...new Set(faults)].join('\n✖ '));
}

const mostPadding = 65_536;

/** How the values of a column are held, or why they cannot be so. */
function cellForm({
  type,
  padTo,
  encryptsNull,
}: EncryptedColumnDeclaration): { readonly type: CellType } | { readonly fault: MappingFault } {
  const shown = padTo === undefined ? type : paddedType(type);
  const isPadding = padTo === undefined || (Number.isInteger(padTo) && padTo >= 2 && padTo <= mostPadding);
  if (shown === undefined || !isPadding)
    return { fault: `want padTo of 2 to ${mostPadding} for a string, json or buffer, got ${padTo} for ${type}` };
  const held = encryptsNull ? nullableType(shown) : shown;
  if (held === undefined)
    return { fault: `want padTo for ${type} beside nullable 'encrypted', got none: null would show by its length` };
  return { type: held };
}

function indexOf(
  metadata: EntityMetadata,
  tableId: string,
  source: ColumnMetadata,
  cipher: ColumnCipher,
  { type, search }: EncryptedColumnDeclaration & { readonly search: SearchDeclaration },
): IndexedColumn {
  const column = columnBeside(metadata, source, search.property);
  const index = new BlindIndex(cipher.identity.columnId, type, search.normalization, cipher.name);
  return { tableId, source, column, index, cipher };
}

function plaintextOf(
  metadata: EntityMetadata,
  cells: ColumnMetadata,
  { phase, plaintextProperty, transformer }: PlaintextDeclaration,
): PlaintextColumn {
  return { phase, cells, column: columnBeside(metadata, cells, plaintextProperty), transformer };
}

/** A column that the decorator has made beside another one. */
function columnBeside(metadata: EntityMetadata, column: ColumnMetadata, property: string): ColumnMetadata {
  const path = pathBeside(column, property);
  const beside = metadata.findColumnWithPropertyPathStrict(path);
  if (beside === undefined) throw new TypeError(`${metadata.name}: want the column ${path}, got none`);
  return beside;
}

/** Of the same class, which may be embedded. */
function pathBeside({ propertyPath }: ColumnMetadata, property: string): string {
  return [...propertyPath.split('.').slice(0, -1), property].join('.');
}

/** The entity that owns the table. */
function rootOf(metadata: EntityMetadata): EntityMetadata {
  const { parentEntityMetadata } = metadata as { parentEntityMetadata?: EntityMetadata };
  return parentEntityMetadata === undefined ? metadata : rootOf(parentEntityMetadata);
}

/** A column of an embedded class is another column wherever the class is embedded. */
function columnIdOf(column: ColumnMetadata, declared: string | undefined): string {
  return pathBeside(column, declared ?? column.propertyName);
}
