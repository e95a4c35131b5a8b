import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  type DataSource,
  type DeleteResult,
  DeleteQueryBuilder,
  type Driver,
  InsertQueryBuilder,
  QueryBuilder,
  SelectQueryBuilder,
  UpdateQueryBuilder,
  type UpdateResult,
} from 'typeorm';
import { AbstractSqliteQueryRunner } from 'typeorm/driver/sqlite-abstract/AbstractSqliteQueryRunner.js';
import { SubjectChangedColumnsComputer } from 'typeorm/persistence/SubjectChangedColumnsComputer.js';
import { SoftDeleteQueryBuilder } from 'typeorm/query-builder/SoftDeleteQueryBuilder.js';
import { RdbmsSchemaBuilder } from 'typeorm/schema-builder/RdbmsSchemaBuilder.js';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { DataEncryptionError } from '../errors.js';
import { computeDiffColumns } from './dirty-check.js';
import * as insert from './insert-hooks.js';
import type { Installation } from './installation.js';
import { type BuilderInternals, mainMetadata, type SubjectInternals } from './internals.js';
import { createNewChecks } from './mariadb/check-constraints.js';
import { isInTransaction } from './store/application-transaction.js';
import { createReturningExpression, decryptReturned } from './returned-rows.js';
import * as select from './select-hooks.js';
import * as update from './update-hooks.js';

/** What a hook gets: TypeORM's method (of this object unless given another), and the arguments it was called with. */
type Around<Self, Result, Args extends unknown[]> = (
  installation: Installation,
  self: Self,
  original: (self?: Self) => Result,
  ...args: Args
) => Result;

interface Hook {
  readonly owner: { readonly name: string; readonly prototype: object };
  readonly method: string;
  /** Parameters the method declares: another number is another method. */
  readonly parameters: number;
  readonly around: Around<object, unknown, unknown[]>;
}

function hook<Self, Result, Args extends unknown[]>(
  owner: Hook['owner'],
  method: string,
  parameters: number,
  around: Around<Self, Result, Args>,
): Hook {
  return { owner, method, parameters, around: around as unknown as Hook['around'] };
}

/** Every method of TypeORM 1.1 that is hooked. What is not here behaves as if this library were not there. */
export const hooks: readonly Hook[] = [
  hook(InsertQueryBuilder, 'execute', 0, insert.execute),
  hook(InsertQueryBuilder, 'createInsertExpression', 0, insert.createInsertExpression),
  hook(InsertQueryBuilder, 'getInsertedColumns', 0, insert.getInsertedColumns),
  hook(InsertQueryBuilder, 'createColumnValueExpression', 3, insert.createColumnValueExpression),
  hook(UpdateQueryBuilder, 'execute', 0, update.execute),
  hook(UpdateQueryBuilder, 'createUpdateExpression', 0, update.createUpdateExpression),
  hook(DeleteQueryBuilder, 'execute', 0, executeReturning),
  hook(SoftDeleteQueryBuilder, 'execute', 0, executeReturning),
  hook(QueryBuilder, 'createPropertyPath', 2, update.createPropertyPath),
  hook(QueryBuilder, 'createWhereExpression', 0, select.createWhereExpression),
  hook(QueryBuilder, 'createCteExpression', 0, select.createCteExpression),
  hook(QueryBuilder, 'createReturningExpression', 1, createReturningExpression),
  hook(SelectQueryBuilder, 'createSelectExpression', 0, select.createSelectExpression),
  hook(SelectQueryBuilder, 'createJoinExpression', 0, select.createJoinExpression),
  hook(SelectQueryBuilder, 'computeSelectedColumnExpressions', 0, select.computeSelectedColumnExpressions),
  hook(SelectQueryBuilder, 'loadRawResults', 1, select.loadRawResults),
  hook(SelectQueryBuilder, 'stream', 0, select.stream),
  hook(RawSqlResultsToEntityTransformer, 'transform', 2, select.transform),
  hook(SubjectChangedColumnsComputer, 'computeDiffColumns', 1, computeDiffColumns),
  hook(AbstractSqliteQueryRunner, 'startTransaction', 1, startTransaction),
  hook(RdbmsSchemaBuilder, 'createNewChecks', 0, createNewChecks),
];

/** SQLite has one connection: a data key that was stored inside a transaction would go with it. So the tenant's are made before it begins. */
async function startTransaction(
  installation: Installation,
  _: object,
  original: () => Promise<void>,
  __: string | undefined,
): Promise<void> {
  const tenant = installation.currentTenant();
  // What fails here is said where the keys are needed.
  if (tenant !== undefined && !isInTransaction(installation.dataSource))
    await installation.prepareTenant(tenant).catch(() => undefined);
  return original();
}

async function executeReturning<Result extends DeleteResult | UpdateResult>(
  installation: Installation,
  builder: BuilderInternals,
  original: () => Promise<Result>,
): Promise<Result> {
  await installation.readyToSearch(builder, () => builder.createWhereExpression());
  const result = await original();
  const entity = installation.entity(mainMetadata(builder));
  if (entity !== undefined) await decryptReturned(installation, builder, entity, result);
  return result;
}

const installations = new WeakMap<DataSource | Driver, Installation>();
let areHooksInstalled = false;

/** From now on the hooks serve this data source. */
export function register(installation: Installation): void {
  installations.set(installation.dataSource, installation);
  installations.set(installation.dataSource.driver, installation);
}

/**
 * Puts the hooks into TypeORM, once for a process. Data sources without encryption pass through them untouched.
 * @throws {DataEncryptionError} ERR_DATA_TYPEORM_INCOMPATIBLE naming every method that is missing or other than expected
 */
export function installHooks(): void {
  if (areHooksInstalled) return;
  const missing = hooks.filter(({ owner, method, parameters }) => {
    const found = Object.getOwnPropertyDescriptor(owner.prototype, method)?.value as unknown;
    return typeof found !== 'function' || found.length !== parameters;
  });
  refuseMissing(missing.map(({ owner, method, parameters }) => `${owner.name}.${method} of ${parameters} parameters`));
  for (const { owner, method, around } of hooks) wrap(owner.prototype as Methods, method, around);
  areHooksInstalled = true;
}

/** @throws {DataEncryptionError} ERR_DATA_TYPEORM_INCOMPATIBLE */
export function refuseMissing(missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw new DataEncryptionError(
    'ERR_DATA_TYPEORM_INCOMPATIBLE',
    `TypeORM ${typeOrmVersion()}: want the methods that encryption hooks into, got none of ${missing.join(', ')}; ` +
      'the way out: a version of TypeORM that this version of @nest-hsm/data-encryption supports',
  );
}

type Methods = Record<string, (...args: unknown[]) => unknown>;

function wrap(prototype: Methods, method: string, around: Hook['around']): void {
  const original = prototype[method];
  prototype[method] = function (this: object, ...args: unknown[]): unknown {
    const installation = installationOf(this, args);
    if (installation === undefined) return original.apply(this, args);
    return around(installation, this, (self = this) => original.apply(self, args), ...args);
  };
}

/** A query builder has its data source, a result transformer its driver; dirty checking is told by its subject. */
function installationOf(
  self: { dataSource?: DataSource; driver?: Driver },
  args: readonly unknown[],
): Installation | undefined {
  const key = self.dataSource ?? self.driver ?? (args[0] as SubjectInternals | undefined)?.metadata.dataSource;
  return key && installations.get(key);
}

function typeOrmVersion(): string {
  const main = createRequire(import.meta.url).resolve('typeorm');
  const { version } = JSON.parse(readFileSync(join(dirname(main), 'package.json'), 'utf8')) as { version: string };
  return version;
}
