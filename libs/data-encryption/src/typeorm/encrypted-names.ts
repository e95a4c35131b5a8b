import type { QueryExpressionMap } from 'typeorm/query-builder/QueryExpressionMap.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';
import type { IndexedColumn } from './encrypted-entity.js';
import { type Refusal, refuse, refuseIf } from './refusal.js';
import { isAffirmed, searchClauseAt } from './search-clause.js';
import type { SearchParameters } from './search-parameters.js';
import { namesOf, type SqlName, tablesByAlias } from './sql-names.js';
import { SqlMemo } from './sql-memo.js';
import { isWord, type SqlToken, tokenize } from './sql-tokens.js';

interface NamedColumn {
  /** `Entity.property` */
  readonly name: string;
  readonly encryptsNull: boolean;
  /** When it can be searched. */
  readonly indexed?: IndexedColumn;
}

/** Names under which a statement may mean an encrypted column, in lower case. */
type ColumnNames = ReadonlyMap<string, NamedColumn>;

interface FoundColumn extends NamedColumn {
  /** What says that this column is meant: an alias, its name alone, the one table of the text that has it; or it may be another. */
  readonly by: 'alias' | 'name' | 'table' | 'guess';
  /** As TypeORM names it in the statement. */
  readonly alias?: string;
}

/** Of a query builder. */
type AliasesInScope = Pick<QueryExpressionMap, 'aliases' | 'aliasNamePrefixingEnabled'>;

/** What a text itself says of tables. */
interface TablesInText {
  /** Those that it may name and that have encrypted columns. */
  readonly encrypted: ReadonlySet<string>;
  /** Those that it names for sure. */
  readonly byAlias: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What a piece of SQL says by itself, whatever its statement's aliases are. */
interface ParsedSql {
  readonly tokens: readonly SqlToken[];
  readonly names: readonly SqlName[];
  readonly tables: TablesInText;
  readonly hasSubquery: boolean;
}

/** Finds encrypted columns in the text that application and TypeORM put into statements. */
export class EncryptedNames {
  readonly #byEntity = new Map<EncryptedEntity, ColumnNames>();
  readonly #byTable = new Map<string, Map<string, NamedColumn>>();
  readonly #parsed = new SqlMemo((sql) => this.#parse(sql));
  /** Most text mentions none: one test says so. */
  readonly #any: RegExp;

  constructor(
    private readonly entities: EncryptedEntities,
    private readonly isMariadb: boolean,
  ) {
    const lastParts = new Set<string>();
    for (const entity of entities.values()) {
      const names = columnNames(entity);
      this.#byEntity.set(entity, names);
      const table = entity.metadata.tableName.toLowerCase();
      const ofTable = this.#byTable.get(table) ?? new Map<string, NamedColumn>();
      for (const [column, { name, encryptsNull }] of entity.ciphers)
        ofTable.set(column.databaseName.toLowerCase(), { name, encryptsNull, indexed: entity.indexes.get(column) });
      this.#byTable.set(table, ofTable);
      for (const name of names.keys()) lastParts.add(name.slice(name.lastIndexOf('.') + 1));
    }
    const escaped = [...lastParts].map((name) => name.replaceAll(/\W/g, '\\$&'));
    // Beside other letters than these it errs towards finding one.
    this.#any = new RegExp(`(?<![\\w$])(?:${escaped.join('|') || '(?!)'})(?![\\w$])`, 'i');
  }

  /**
   * The first encrypted column that a piece of SQL uses, other than to ask whether it is null.
   * @param outputs  result columns that hold cells, which ORDER BY and the like may name
   */
  find(sql: string, map: AliasesInScope, outputs?: ReadonlyMap<string, string>): string | undefined {
    if (outputs === undefined && !this.#any.test(sql)) return undefined;
    this.#refuseOddAliases(map);
    const { names, tables } = this.#parsed.of(sql);
    for (const { parts, isNullTest } of names) {
      const found = this.#resolve(parts, map, tables);
      if (found !== undefined && (!isNullTest || found.encryptsNull)) return found.name;
      const output = found === undefined && !isNullTest && parts.length === 1 ? outputs?.get(parts[0]) : undefined;
      if (output !== undefined) return output;
    }
    return undefined;
  }

  /** The same in a statement that is text alone. */
  findInStatement(sql: string): string | undefined {
    return this.find(sql, { aliases: [], aliasNamePrefixingEnabled: false });
  }

  /**
   * Lets conditions over searchable columns ask their blind indexes instead.
   * @param escape  of the builder whose text it is
   * @throws {DataEncryptionError} ERR_DATA_OPERATION_REFUSED for every other use of an encrypted column but a test for null
   */
  rewriteConditions(
    sql: string,
    map: QueryExpressionMap,
    search: SearchParameters,
    escape: (name: string) => string,
    refusal: Refusal,
  ): string {
    if (!this.#any.test(sql)) return sql;
    this.#refuseOddAliases(map);
    const { tokens, names, tables, hasSubquery } = this.#parsed.of(sql);
    let rewritten = '';
    let at = 0;
    for (const name of names) {
      const found = this.#resolve(name.parts, map, tables);
      if (found === undefined || (name.isNullTest && !found.encryptsNull)) continue;
      if (name.isNullTest) refuse(found.name, 'nullTest');
      if (found.indexed === undefined) refuse(found.name, refusal);
      const clause = searchClauseAt(tokens, name);
      if (clause === undefined) refuse(found.name, 'comparison');
      if (found.encryptsNull && !isAffirmed(tokens, name, clause)) refuse(found.name, 'negation');
      // A name alone may be that of a subquery's table.
      if (found.by === 'guess' || (found.by === 'name' && hasSubquery)) refuse(found.name, 'ambiguous');
      const written = found.by === 'name' ? '' : sql.slice(tokens[name.first].start, tokens[name.last].start);
      const qualifier = found.alias === undefined ? written : `${escape(found.alias)}.`;
      const column = qualifier + escape(found.indexed.column.databaseName);
      rewritten += `${sql.slice(at, tokens[name.first].start)}${column} ${clause.operator} (${search.list(found.indexed, clause)})`;
      at = tokens[clause.last].end;
    }
    return rewritten + sql.slice(at);
  }

  /** An encrypted column of a table that a statement names by text, past its entity. */
  ofTable(tablePath: string): string | undefined {
    const name = tablePath.slice(tablePath.lastIndexOf('.') + 1).toLowerCase();
    return this.#byTable.get(name)?.values().next().value?.name;
  }

  #resolve(
    parts: readonly string[],
    { aliases, aliasNamePrefixingEnabled }: AliasesInScope,
    { encrypted, byAlias }: TablesInText,
  ): FoundColumn | undefined {
    const aliased =
      parts.length === 1
        ? []
        : aliases.filter(
            ({ name, hasMetadata }) => hasMetadata && (name as string | undefined)?.toLowerCase() === parts[0],
          );
    if (aliased.length > 0) {
      const path = parts.slice(1).join('.');
      const alias = aliased.find(({ metadata }) => this.#namesOf(metadata)?.has(path));
      const found = alias && this.#namesOf(alias.metadata)?.get(path);
      if (found === undefined) return undefined;
      // Two that differ in their letters' case alone.
      if (aliased.length > 1) return { ...found, by: 'guess' };
      return { ...found, by: 'alias', alias: aliasNamePrefixingEnabled ? alias?.name : undefined };
    }
    // Without an alias: a column of any entity of the statement (an update names embedded columns by their path).
    for (const each of aliases) {
      const found = each.hasMetadata ? this.#namesOf(each.metadata)?.get(parts.join('.')) : undefined;
      if (found !== undefined) return { ...found, by: 'name' };
    }
    // A subquery written as text: its aliases are unknown, its tables are not.
    const named = parts.length === 1 ? undefined : byAlias.get(parts[parts.length - 2]);
    if (named !== undefined && ![...named].some((table) => this.#byTable.has(table))) return undefined;
    const found = [...encrypted].flatMap((table) => this.#byTable.get(table)?.get(parts[parts.length - 1]) ?? []);
    if (found.length === 0) return undefined;
    return { ...found[0], by: found.length === 1 && parts.length > 1 ? 'table' : 'guess' };
  }

  /** TypeORM finds an alias of any characters in text; here it has to be one name. */
  #refuseOddAliases({ aliases }: AliasesInScope): void {
    for (const alias of aliases) {
      const name = alias.name as string | undefined;
      if (!alias.hasMetadata || name === undefined || isWord(name)) continue;
      refuseIf(this.entities.get(alias.metadata)?.ciphers.values().next().value?.name, 'oddAlias');
    }
  }

  #parse(sql: string): ParsedSql {
    const tokens = tokenize(sql, this.isMariadb);
    const names = namesOf(tokens);
    const hasSubquery = tokens.some(({ word, isQuoted }) => word === 'select' && !isQuoted);
    return { tokens, names, tables: this.#tablesIn(names, tokens), hasSubquery };
  }

  #tablesIn(names: readonly SqlName[], tokens: readonly SqlToken[]): TablesInText {
    const lastParts = names.map(({ parts }) => parts[parts.length - 1]);
    const encrypted = new Set(lastParts.filter((name) => this.#byTable.has(name)));
    return { encrypted, byAlias: tablesByAlias(tokens) };
  }

  #namesOf(metadata: EncryptedEntity['metadata']): ColumnNames | undefined {
    const entity = this.entities.get(metadata);
    return entity && this.#byEntity.get(entity);
  }
}

/** TypeORM replaces property paths, property names and database names; the database knows its own. */
function columnNames({ metadata, ciphers, indexes }: EncryptedEntity): ColumnNames {
  const plainPaths = new Set(
    metadata.columns.filter((column) => !ciphers.has(column)).map((column) => column.propertyPath),
  );
  const names = new Map<string, NamedColumn>();
  for (const [column, { name, encryptsNull }] of ciphers) {
    const named = { name, encryptsNull, indexed: indexes.get(column) };
    names.set(column.databaseName.toLowerCase(), named);
    names.set(column.propertyPath.toLowerCase(), named);
    if (!plainPaths.has(column.propertyName)) names.set(column.propertyName.toLowerCase(), named);
  }
  return names;
}
