import type { EncryptedEntity } from '../encrypted-entity.js';
import type { InsertInternals } from '../internals.js';
import type { Upsert } from '../tenant-condition.js';

/** MariaDB has no statement that fails but this one (ER_SUBQUERY_NO_1_ROW). */
const failing = '(SELECT NULL UNION ALL SELECT NULL)';
const failingCode = 'ER_SUBQUERY_NO_1_ROW';

/**
 * Writes an upsert, or an insert that ignores rows that are there.
 *
 * ON DUPLICATE KEY UPDATE overwrites the row that any unique key has, whichever the application named, and knows no condition. So each
 * column is overwritten under the condition, and cells bound to a primary key only where the row has it: the statement fails otherwise.
 * INSERT IGNORE would store what it is given changed, keys cut to their column's length among it, rather than fail.
 * @param onUpdate  undefined: the row is left as it is
 * @param condition  SQL under which a row is overwritten, of unqualified columns for the row that is there
 */
export function createUpsertExpression(
  builder: InsertInternals,
  entity: EncryptedEntity,
  onUpdate: Upsert | undefined,
  condition: string | undefined,
  original: () => string,
): string {
  const { expressionMap } = builder;
  const was = { onIgnore: expressionMap.onIgnore, onUpdate: expressionMap.onUpdate };
  const { primaryColumns } = entity.metadata;
  const overwrite = onUpdate?.overwrite ?? [];
  const isNothing = overwrite.length === 0;
  const columns = isNothing ? [primaryColumns[0].databaseName] : comparedLast(overwrite, entity);
  Object.assign(expressionMap, { onIgnore: false, onUpdate: { ...onUpdate, overwrite: columns } });
  try {
    const sql = original();
    const escaped = columns.map((name) => builder.escape(name));
    const written = escaped.map((name) => `${name} = VALUES(${name})`).join(', ');
    const assigned = columns.map((name, index) => {
      const column = escaped[index];
      const value = isNothing ? column : valueOf(builder, entity, name);
      return `${column} = ${condition === undefined ? value : `IF(${condition}, ${value}, ${column})`}`;
    });
    const at = sql.lastIndexOf(written);
    if (at < 0) throw new TypeError('insert: want the assignments of an upsert as TypeORM writes them, got others');
    return sql.slice(0, at) + assigned.join(', ') + sql.slice(at + written.length);
  } finally {
    Object.assign(expressionMap, was);
  }
}

/**
 * Assignments are made in their order, and each sees those before it: what is compared is set last. VALUES() of a TEXT column, such as one
 * of tenants may be, even becomes what the column was set to.
 */
function comparedLast(overwrite: readonly string[], entity: EncryptedEntity): readonly string[] {
  const tenantName = entity.tenantColumn?.column.databaseName.toLowerCase();
  const rank = (name: string) =>
    name.toLowerCase() === tenantName ? 2 : keyNames(entity).has(name.toLowerCase()) ? 1 : 0;
  return overwrite.toSorted((left, right) => rank(left) - rank(right));
}

function valueOf(builder: InsertInternals, entity: EncryptedEntity, name: string): string {
  const value = `VALUES(${builder.escape(name)})`;
  const bound = new Set([
    ...[...entity.ciphers.keys()].map((column) => column.databaseName.toLowerCase()),
    ...keyNames(entity),
  ]);
  if (!entity.primaryKey.isBound || !bound.has(name.toLowerCase())) return value;
  const isSame = entity.metadata.primaryColumns.map(({ databaseName }) => {
    const key = builder.escape(databaseName);
    return `${key} = VALUES(${key})`;
  });
  return `IF(${isSame.join(' AND ')}, ${value}, ${failing})`;
}

function keyNames({ metadata }: EncryptedEntity): ReadonlySet<string> {
  return new Set(metadata.primaryColumns.map(({ databaseName }) => databaseName.toLowerCase()));
}

/** Whether a statement of `createUpsertExpression` failed since it met a row of another primary key. */
export function metAnotherKey(error: unknown): boolean {
  return (error as { driverError?: { code?: unknown } }).driverError?.code === failingCode;
}
