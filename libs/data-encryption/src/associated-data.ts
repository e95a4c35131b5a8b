import type { DataKeyId } from './envelope.js';
import type { KeyScope, KeyScopeKind } from './key-scope.js';
import { type CellType, cellTypes } from './cell-type.js';

/** What makes a column the same column through migrations: logical ids, never physical names. */
export interface ColumnIdentity {
  readonly databaseId: string;
  readonly tableId: string;
  readonly columnId: string;
  readonly type: CellType;
  /** Whether its cells are bound to the primary key of their row. */
  readonly isRowBound: boolean;
  /** What its data keys are for. */
  readonly keyScope: KeyScopeKind;
}

/**
 * The associated data of a cell (docs/ENVELOPE.md) up to the row: it is the same for every row of a column and a data key.
 * Each field is preceded by its length (4 bytes, big-endian), so that no two lists of fields have the same bytes.
 */
export function cellAssociatedDataPrefix(column: ColumnIdentity, dataKeyId: DataKeyId, tenant = ''): Buffer {
  const isOfTenant = tenant !== '';
  return lengthPrefixed([
    `nest-hsm ${column.isRowBound ? '' : 'unbound '}${isOfTenant ? 'tenant ' : ''}cell v1`,
    column.databaseId,
    column.tableId,
    column.columnId,
    ...(isOfTenant ? [tenant] : []),
    Buffer.of(cellTypes[column.type]),
    Buffer.from(dataKeyId, 'hex'),
  ]);
}

/**
 * A row's primary key as the database stores it: one canonical text per column, in the order of the columns' property paths.
 * Length-prefixed like the fields before it (`rowAssociatedData`) it is the rest of the associated data.
 */
export type RowKey = readonly string[];

/** What stands for the primary key where cells are bound to none. */
export const unboundRow: RowKey = [''];

export function rowAssociatedData(key: RowKey): Buffer {
  return lengthPrefixed(key);
}

export function isSameRow(left: RowKey, right: RowKey): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

/** What a wrapped data key is bound to: it decrypts for this purpose, place and KEK only. */
export function dataKeyAssociatedData(
  dataKey: KeyScope & {
    readonly id: DataKeyId;
    readonly purpose: 'cell' | 'index';
    readonly databaseId: string;
    readonly algorithm: string;
    readonly kekVersion: string;
    readonly commitment: Buffer;
  },
): Buffer {
  const { purpose, columnId, tenant } = dataKey;
  const isOfTable = tenant === '' && (purpose === 'index' || columnId === '');
  return lengthPrefixed([
    isOfTable ? 'nest-hsm data key v1' : 'nest-hsm scoped data key v1',
    purpose,
    Buffer.from(dataKey.id, 'hex'),
    dataKey.databaseId,
    dataKey.tableId,
    ...(isOfTable ? (purpose === 'index' ? [columnId] : []) : [columnId, tenant]),
    dataKey.algorithm,
    dataKey.kekVersion,
    dataKey.commitment,
  ]);
}

function lengthPrefixed(fields: readonly (string | Buffer)[]): Buffer {
  const parts = fields.flatMap((field) => {
    const bytes = typeof field === 'string' ? Buffer.from(field, 'utf8') : field;
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}
