import type { DataSource, EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { Subject } from 'typeorm/persistence/Subject.js';
import type { QueryExpressionMap } from 'typeorm/query-builder/QueryExpressionMap.js';
import type { SelectQuery } from 'typeorm/query-builder/SelectQuery.js';
import type { WhereClause } from 'typeorm/query-builder/WhereClause.js';

/**
 * The members of TypeORM 1.1's query builders that the hooks use, which its types keep protected. `install.ts` asserts that
 * each one that is hooked is there.
 */
export interface BuilderInternals {
  readonly dataSource: DataSource;
  readonly queryRunner?: QueryRunner;
  readonly expressionMap: QueryExpressionMap;
  clone(): this;
  createParameter(value: unknown): string;
  createPropertyPath(metadata: EntityMetadata, entity: ObjectLiteral): string[];
  createWhereClausesExpression(clauses: WhereClause[]): string;
  createCteExpression(): string;
  createWhereExpression(): string;
  escape(name: string): string;
  getQuery(): string;
  getMainTableName(): string;
  getParameters(): ObjectLiteral;
  getTableName(tablePath: string): string;
  obtainQueryRunner(): QueryRunner;
  replacePropertyNamesForTheWholeQuery(statement: string): string;
  setParameter(key: string, value: unknown): this;
  setQueryRunner(queryRunner: QueryRunner): this;
}

export interface InsertInternals extends BuilderInternals {
  getInsertedColumns(): ColumnMetadata[];
  getValueSets(): ObjectLiteral[];
}

export interface UpdateInternals extends BuilderInternals {
  createLimitExpression(): string;
  createOrderByExpression(): string;
  getValueSet(): ObjectLiteral;
  callListeners(enabled: boolean): this;
}

export interface SelectInternals extends BuilderInternals {
  buildColumnSelectionExpression(
    aliasName: string,
    column: ColumnMetadata,
    includeHydrationTransform?: boolean,
  ): string;
  buildEscapedEntityColumnSelects(aliasName: string, metadata: EntityMetadata): SelectQuery[];
}

export type SubjectInternals = Pick<Subject, 'metadata' | 'entity' | 'databaseEntity' | 'changeMaps' | 'diffColumns'>;

/** The metadata of the entity a statement is about; a table named by text has none. */
export function mainMetadata(builder: BuilderInternals): EntityMetadata | undefined {
  const alias = builder.expressionMap.mainAlias;
  return alias?.hasMetadata ? alias.metadata : undefined;
}
