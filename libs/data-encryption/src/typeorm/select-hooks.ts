import { pipeline, Transform } from 'node:stream';
import { type QueryRunner, SelectQueryBuilder } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { Installation, Selection } from './installation.js';
import type { BuilderInternals, SelectInternals } from './internals.js';
import { refuse, refuseIf } from './refusal.js';
import { decryptRows, type RawRow } from './row-decryption.js';
import { type SelectableAlias, selectableAliases, type SelectedRow, selectedRows } from './selected-rows.js';
import { mayStray, refuseStrayCells } from './stray-cells.js';

const noSelection: Selection = { selected: [], mayStray: false };

/** `SelectQueryBuilder.loadRawResults`: every result comes through here, after the query cache, which so holds ciphertext. */
export async function loadRawResults(
  installation: Installation,
  builder: SelectInternals,
  original: () => Promise<RawRow[]>,
  queryRunner: QueryRunner,
): Promise<RawRow[]> {
  if (!installation.isReadyToSearch(builder)) {
    await installation.readyToSearch(builder, () => builder.getQuery(), queryRunner);
  }
  const rows = await original();
  // Noted when the statement was built, by `createSelectExpression`.
  const { selected, mayStray } = installation.selections.get(builder) ?? noSelection;
  if (mayStray) refuseStrayCells(rows, selected);
  await decryptRows(installation, rows, selected, { session: queryRunner });
  installation.decrypted.add(rows);
  return rows;
}

/** `SelectQueryBuilder.stream`: the rows of a stream are decrypted one by one. */
export async function stream(
  installation: Installation,
  builder: SelectInternals,
  original: () => Promise<NodeJS.ReadableStream>,
): Promise<NodeJS.ReadableStream> {
  await installation.readyToSearch(builder, () => builder.getQuery());
  const source = await original();
  // Whoever reads the stream may do so elsewhere.
  const tenant = installation.currentTenant();
  const { selected, mayStray } = installation.selections.get(builder) ?? noSelection;
  const decryption = new Transform({
    objectMode: true,
    transform(row: RawRow, _, done) {
      // Not through the builder's connection: it is busy with this stream.
      const decrypted = async () => {
        if (mayStray) refuseStrayCells([row], selected);
        await decryptRows(installation, [row], selected, { tenant });
      };
      decrypted().then(
        () => done(null, row),
        (error: Error) => done(error),
      );
    },
  });
  // Errors reach the consumer as events of the stream it holds.
  return pipeline(source, decryption, () => undefined);
}

/** `RawSqlResultsToEntityTransformer.transform`, which calls itself for joined entities. */
export function transform(installation: Installation, _: object, original: () => unknown[], rows: object): unknown[] {
  if (installation.hydrating !== undefined) return original();
  installation.hydrating = { isDecrypted: installation.decrypted.has(rows) };
  try {
    return original();
  } finally {
    installation.hydrating = undefined;
  }
}

/** `SelectQueryBuilder.createSelectExpression`: the one part that every select statement has. */
export function createSelectExpression(
  installation: Installation,
  builder: SelectInternals,
  original: () => string,
): string {
  const aliases = selectableAliases(builder);
  const selected = selectedRows(builder, installation.entities, aliases);
  const [first] = selected;
  if (builder.expressionMap.subQuery && first !== undefined) refuse(first.cells[0].cipher.name, 'subquery');
  const expressions = selectedExpressions(builder, aliases);
  const isStraying = mayStray(builder, installation.straying, expressions.length > 0);
  installation.selections.set(builder, { selected, mayStray: isStraying });
  refuseExpressions(installation, builder, selected, expressions);
  return original();
}

/** What is selected beside aliases and their properties, as text. */
function selectedExpressions(
  { expressionMap }: SelectInternals,
  aliases: readonly SelectableAlias[],
): readonly string[] {
  const isProperty = (selection: string) =>
    aliases.some(
      ({ name, metadata }) =>
        selection === name || metadata.columns.some(({ propertyPath }) => selection === `${name}.${propertyPath}`),
    );
  return expressionMap.selects.map(({ selection }) => selection).filter((selection) => !isProperty(selection));
}

/** The first encrypted column that `*` selects, past the properties of its entity. */
function starredCell({ entities }: Installation, builder: SelectInternals): string | undefined {
  for (const expression of selectedExpressions(builder, selectableAliases(builder))) {
    const [isStar, , qualifier] = /^\s*(?:(["`]?)(.+)\1\.)?\*\s*$/.exec(expression) ?? [];
    if (isStar === undefined) continue;
    for (const alias of builder.expressionMap.aliases) {
      if (!alias.hasMetadata || (qualifier !== undefined && alias.name !== qualifier)) continue;
      const cipher = entities.get(alias.metadata)?.ciphers.values().next().value;
      if (cipher !== undefined) return cipher.name;
    }
  }
  return undefined;
}

/** Result columns that hold cells, in lower case, to `Entity.property`. */
function outputsOf(selected: readonly SelectedRow[]): ReadonlyMap<string, string> {
  const cells = selected.flatMap((row) => row.cells);
  return new Map(cells.map(({ key, cipher }) => [key.toLowerCase(), cipher.name]));
}

function refuseExpressions(
  installation: Installation,
  builder: SelectInternals,
  selected: readonly SelectedRow[],
  expressions: readonly string[],
): void {
  const { names } = installation;
  const map = builder.expressionMap;
  // What a subquery selects goes no further, or is looked at where it arrives.
  if (expressions.length > 0 && !map.subQuery) refuseIf(starredCell(installation, builder), 'star');
  const clauses = [
    ...expressions.map((text) => ['expression', text] as const),
    // TypeORM's own subquery is of the keys of a page: what else it selects is not read.
    ...map.aliases.map(({ name, subQuery }) => ['subquery', name === 'distinctAlias' ? '' : (subQuery ?? '')] as const),
  ];
  const clausesOfOutputs = [
    ...map.selectDistinctOn.map((text) => ['distinct', text] as const),
    ...map.groupBys.map((text) => ['groupBy', text] as const),
    ...map.havings.map(({ condition }) => ['having', condition] as const),
    ...Object.keys(map.mainAlias === undefined ? map.orderBys : map.allOrderBys).map(
      (text) => ['orderBy', text] as const,
    ),
  ];
  for (const [refusal, text] of clauses) refuseIf(names.find(text, map), refusal);
  if (clausesOfOutputs.length === 0) return;
  const outputs = outputsOf(selected);
  for (const [refusal, text] of clausesOfOutputs) refuseIf(names.find(text, map, outputs), refusal);
}

/**
 * `SelectQueryBuilder.computeSelectedColumnExpressions`: a count over a partial selection counts distinct values of what is
 * selected. With the primary key among them the other columns add nothing.
 */
export function computeSelectedColumnExpressions(
  installation: Installation,
  builder: SelectInternals,
  original: () => string[],
): string[] {
  const expressions = new Set(original());
  for (const { name, metadata } of selectableAliases(builder)) {
    const expressionOf = (column: ColumnMetadata) => builder.buildColumnSelectionExpression(name, column, false);
    const hasKey = metadata.primaryColumns.every((column) => expressions.has(expressionOf(column)));
    for (const [column, cipher] of installation.entity(metadata)?.ciphers ?? []) {
      const isCounted = expressions.delete(expressionOf(column));
      if (isCounted && !hasKey) refuse(cipher.name, 'count');
    }
  }
  return [...expressions];
}

/** `QueryBuilder.createWhereExpression`: conditions of every kind of statement, from objects and text alike. */
export function createWhereExpression(
  { names, search }: Installation,
  builder: BuilderInternals,
  original: () => string,
): string {
  const { expressionMap } = builder;
  for (const { hasMetadata, tablePath } of expressionMap.aliases) {
    if (!hasMetadata && tablePath !== undefined) refuseIf(names.ofTable(tablePath), 'rawTable');
  }
  return names.rewriteConditions(original(), expressionMap, search, (name) => builder.escape(name), 'where');
}

/** `SelectQueryBuilder.createJoinExpression` */
export function createJoinExpression(
  { names, search }: Installation,
  builder: BuilderInternals,
  original: () => string,
): string {
  return names.rewriteConditions(original(), builder.expressionMap, search, (name) => builder.escape(name), 'join');
}

/** `QueryBuilder.createCteExpression` */
export function createCteExpression(
  installation: Installation,
  { expressionMap }: BuilderInternals,
  original: () => string,
): string {
  for (const { queryBuilder } of expressionMap.commonTableExpressions) {
    const column =
      typeof queryBuilder === 'string'
        ? installation.names.find(queryBuilder, expressionMap)
        : selectedCell(installation, queryBuilder);
    refuseIf(column, 'subquery');
  }
  return original();
}

/** The first encrypted column that a builder selects, if it is one that selects. */
export function selectedCell(installation: Installation, builder: object): string | undefined {
  if (!(builder instanceof SelectQueryBuilder)) return undefined;
  const select = builder as unknown as SelectInternals;
  const [row] = selectedRows(select, installation.entities, selectableAliases(select));
  return row?.cells[0].cipher.name ?? starredCell(installation, select);
}
