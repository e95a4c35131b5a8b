import type { QueryExpressionMap } from 'typeorm/query-builder/QueryExpressionMap.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';
import { sqlNames } from './sql-names.js';

/** Names under which a statement may mean an encrypted column, in lower case, to `Entity.property`. */
type ColumnNames = ReadonlyMap<string, string>;

/** Finds encrypted columns in the text that application and TypeORM put into statements. */
export class EncryptedNames {
  readonly #byEntity = new Map<EncryptedEntity, ColumnNames>();
  readonly #byTable = new Map<string, Map<string, string>>();
  /** Most text mentions none: one test says so. */
  readonly #any: RegExp;

  constructor(private readonly entities: EncryptedEntities) {
    const lastParts = new Set<string>();
    for (const entity of entities.values()) {
      const names = columnNames(entity);
      this.#byEntity.set(entity, names);
      const table = entity.metadata.tableName.toLowerCase();
      const ofTable = this.#byTable.get(table) ?? new Map<string, string>();
      for (const [column, cipher] of entity.ciphers) ofTable.set(column.databaseName.toLowerCase(), cipher.name);
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
  find(sql: string, map: QueryExpressionMap, outputs?: ReadonlyMap<string, string>): string | undefined {
    if (outputs === undefined && !this.#any.test(sql)) return undefined;
    const names = sqlNames(sql);
    const tables = new Set(names.map(({ parts }) => parts[parts.length - 1]).filter((name) => this.#byTable.has(name)));
    for (const { parts, isNullTest } of names) {
      if (isNullTest) continue;
      const found = this.#resolve(parts, map, tables) ?? (parts.length === 1 ? outputs?.get(parts[0]) : undefined);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** An encrypted column of a table that a statement names by text, past its entity. */
  ofTable(tablePath: string): string | undefined {
    const name = tablePath.slice(tablePath.lastIndexOf('.') + 1).toLowerCase();
    return this.#byTable.get(name)?.values().next().value;
  }

  #resolve(parts: readonly string[], map: QueryExpressionMap, tables: ReadonlySet<string>): string | undefined {
    const alias = map.aliases.find(({ name }) => name?.toLowerCase() === parts[0]);
    if (parts.length > 1 && alias?.hasMetadata) {
      return this.#namesOf(alias.metadata)?.get(parts.slice(1).join('.'));
    }
    // Without an alias: a column of any entity of the statement (an update names embedded columns by their path).
    for (const each of map.aliases) {
      const found = each.hasMetadata ? this.#namesOf(each.metadata)?.get(parts.join('.')) : undefined;
      if (found !== undefined) return found;
    }
    // A subquery written as text: its aliases are unknown, its tables are not.
    for (const table of tables) {
      const found = this.#byTable.get(table)?.get(parts[parts.length - 1]);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #namesOf(metadata: EncryptedEntity['metadata']): ColumnNames | undefined {
    const entity = this.entities.get(metadata);
    return entity && this.#byEntity.get(entity);
  }
}

/** TypeORM replaces property paths, property names and database names; the database knows its own. */
function columnNames({ metadata, ciphers }: EncryptedEntity): ColumnNames {
  const plainPaths = new Set(
    metadata.columns.filter((column) => !ciphers.has(column)).map((column) => column.propertyPath),
  );
  const names = new Map<string, string>();
  for (const [column, { name }] of ciphers) {
    names.set(column.databaseName.toLowerCase(), name);
    names.set(column.propertyPath.toLowerCase(), name);
    if (!plainPaths.has(column.propertyName)) names.set(column.propertyName.toLowerCase(), name);
  }
  return names;
}
