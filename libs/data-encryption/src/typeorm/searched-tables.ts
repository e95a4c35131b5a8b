import type { QueryExpressionMap } from 'typeorm/query-builder/QueryExpressionMap.js';
import { mark } from './search-parameters.js';

/**
 * Whether a statement may search one of these tables, told without building it, and erring towards yes: it is about one of them, or
 * has text in which a subquery or a condition of another statement may be.
 * @param tablePaths  as in the metadata of entities
 */
export function maySearch(map: QueryExpressionMap, tablePaths: ReadonlySet<string>): boolean {
  if (tablePaths.size === 0) return false;
  const { aliases, commonTableExpressions, joinAttributes, selects, wheres, havings, orderBys, groupBys } = map;
  return (
    commonTableExpressions.length > 0 ||
    aliases.some((alias) => !alias.hasMetadata || tablePaths.has(alias.metadata.tablePath)) ||
    joinAttributes.some(({ condition }) => hasText(condition)) ||
    selects.some(({ selection }) => hasText(selection)) ||
    Object.keys(orderBys).some(hasText) ||
    [wheres, havings, groupBys].some(hasText)
  );
}

const subquery = /\bselect\b/i;

/** Clauses are texts, alone or somewhere in lists and objects. */
function hasText(clause: unknown): boolean {
  if (typeof clause === 'string') return clause.includes(mark) || subquery.test(clause);
  return typeof clause === 'object' && clause !== null && Object.values(clause).some(hasText);
}
