import { databaseType } from './database-type.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import type { BuilderInternals, InsertInternals } from './internals.js';

export type Upsert = InsertInternals['expressionMap']['onUpdate'];

const parameter = 'nest_hsm_tenant';

/**
 * Lets an update find rows of a tenant only, whatever its own conditions say: with the tenant's key it would overwrite what is
 * another's. Of rows without a tenant column only the keys of their cells say whose they are, which no condition can ask.
 * @param tenant  undefined when nothing says for whom the update is
 */
export async function withinTenant<T>(
  builder: BuilderInternals,
  { tenantColumn }: EncryptedEntity,
  tenant: string | undefined,
  update: () => Promise<T>,
): Promise<T> {
  if (tenantColumn === undefined || tenant === undefined) return update();
  const { expressionMap } = builder;
  const { extraAppendedAndWhereCondition } = expressionMap;
  // Beside the conditions and not among them: TypeORM refuses an update whose own ones are empty.
  expressionMap.extraAppendedAndWhereCondition = `${builder.escape(tenantColumn.column.databaseName)} = :${parameter}`;
  builder.setParameter(parameter, tenant);
  try {
    return await update();
  } finally {
    expressionMap.extraAppendedAndWhereCondition = extraAppendedAndWhereCondition;
  }
}

/**
 * The same for the row that an upsert meets.
 * @param tenant  undefined: the tenants that its rows say
 * @returns undefined when it overwrites nothing that is a tenant's
 */
export function upsertCondition(
  builder: InsertInternals,
  { tenantColumn }: EncryptedEntity,
  tenant: string | undefined,
): string | undefined {
  const { onIgnore, onUpdate, mainAlias } = builder.expressionMap;
  const isUpdate = !onIgnore && ((onUpdate.overwrite ?? onUpdate.columns)?.length ?? 0) > 0;
  if (tenantColumn === undefined || !isUpdate) return undefined;
  const column = builder.escape(tenantColumn.column.databaseName);
  // TypeORM gives the table an alias on PostgreSQL alone, where the column's name by itself may be either row's.
  const met = isPostgres(builder) ? `${builder.escape(mainAlias?.name ?? '')}.${column}` : column;
  if (tenant === undefined) {
    return `${met} = ${databaseType(builder.dataSource) === 'mariadb' ? `VALUES(${column})` : `EXCLUDED.${column}`}`;
  }
  builder.setParameter(parameter, tenant);
  return `${met} = :${parameter}`;
}

/** An upsert whose update has one more condition. TypeORM writes them on PostgreSQL alone, elsewhere its statement ends before. */
export function conditionUpsert(
  builder: InsertInternals,
  onUpdate: Upsert,
  condition: string | undefined,
): { readonly onUpdate: Upsert; readonly end: string } {
  if (condition === undefined) return { onUpdate, end: '' };
  if (!isPostgres(builder)) return { onUpdate, end: ` WHERE ${condition}` };
  const given = onUpdate.overwriteCondition ?? [];
  const own =
    given.length === 0
      ? []
      : [{ type: 'simple' as const, condition: { operator: 'brackets' as const, condition: given } }];
  return { onUpdate: { ...onUpdate, overwriteCondition: [...own, { type: 'and', condition }] }, end: '' };
}

function isPostgres(builder: BuilderInternals): boolean {
  return databaseType(builder.dataSource) === 'postgres';
}
