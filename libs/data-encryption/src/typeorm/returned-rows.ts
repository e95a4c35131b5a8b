import type { ObjectLiteral } from 'typeorm';
import type { Installation } from './installation.js';
import { type BuilderInternals, mainMetadata } from './internals.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import { refuse, refuseIf } from './refusal.js';
import { decryptRows, type RawRow } from './row-decryption.js';

/** What insert, update and delete builders return. */
interface StatementResult {
  readonly raw: unknown;
  readonly generatedMaps?: ObjectLiteral[];
}

/** Replaces the cells that RETURNING brought by their values, in the raw rows and in what TypeORM made of them. */
export async function decryptReturned(
  installation: Installation,
  builder: BuilderInternals,
  entity: EncryptedEntity,
  result: StatementResult,
): Promise<void> {
  if (!Array.isArray(result.raw)) return;
  const rows = result.raw.filter((row): row is RawRow => typeof row === 'object' && row !== null);
  const returned = [...entity.ciphers].filter(([column]) => rows.some((row) => column.databaseName in row));
  if (returned.length === 0) return;
  const cells = returned.map(([column, cipher]) => ({ key: column.databaseName, cipher }));
  const primaryKeys = new Map(entity.metadata.primaryColumns.map((column) => [column, column.databaseName]));
  const tenantName = entity.tenantColumn?.column.databaseName;
  const tenantKey = rows.some((row) => tenantName !== undefined && tenantName in row) ? tenantName : undefined;
  await decryptRows(installation, rows, [{ entity, cells, primaryKeys, tenantKey }], { session: builder.queryRunner });

  const { whereEntities, updateEntity } = builder.expressionMap;
  for (const [index, row] of rows.entries()) {
    const targets = [result.generatedMaps?.[index], updateEntity ? whereEntities[index] : undefined];
    for (const target of targets) {
      for (const [column] of target === undefined ? [] : returned)
        column.setEntityValue(target as ObjectLiteral, row[column.databaseName]);
    }
  }
}

/** `Driver.createGeneratedMap`: cells of a returned row stay out of entities until they are decrypted, and blind indexes and shadows always. */
export function withoutCells({ shadows }: Installation, entity: EncryptedEntity, row: unknown): unknown {
  if (typeof row !== 'object' || row === null) return row;
  let names = hiddenNames.get(entity);
  if (names === undefined) {
    const indexes = [...entity.indexes.values()].map(({ column }) => column);
    const hidden = entity.metadata.columns.filter((column) => shadows.has(column));
    names = new Set([...entity.ciphers.keys(), ...indexes, ...hidden].map((column) => column.databaseName));
    hiddenNames.set(entity, names);
  }
  // Nearly always only what the database has made comes back.
  for (const name in row) if (names.has(name)) return without(row, names);
  return row;
}

function without(row: object, names: ReadonlySet<string>): object {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !names.has(name)));
}

/** Columns that no entity gets from a returned row: asked for every row. */
const hiddenNames = new WeakMap<EncryptedEntity, ReadonlySet<string>>();

/** `QueryBuilder.createReturningExpression` */
export function createReturningExpression(
  installation: Installation,
  builder: BuilderInternals,
  original: () => string,
): string {
  const { returning, extraReturningColumns } = builder.expressionMap;
  const entity = installation.entity(mainMetadata(builder));
  if (typeof returning === 'string') refuseIf(installation.names.find(returning, builder.expressionMap), 'returning');
  else if (entity !== undefined && Array.isArray(returning)) {
    const named = returning.flatMap((path) => entity.metadata.findColumnsWithPropertyPath(path));
    const columns = new Set([...named, ...extraReturningColumns]);
    const cell = [...entity.ciphers].find(([column]) => columns.has(column))?.[1];
    const hasKey = entity.metadata.primaryColumns.every((column) => columns.has(column));
    if (cell !== undefined && !hasKey && entity.primaryKey.isBound) refuse(cell.name, 'returningWithoutKey');
  }
  return original();
}
