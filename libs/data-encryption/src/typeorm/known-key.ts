import type { WhereClause, WhereClauseCondition } from 'typeorm/query-builder/WhereClause.js';
import type { RowKey } from '../associated-data.js';
import type { BuilderInternals } from './internals.js';
import type { EncryptedEntity } from './encrypted-entity.js';

/**
 * The one row that an update can touch, when its conditions say so: it updates an entity, or every row it finds has a primary
 * key equal to given values.
 * @returns undefined when the update may touch other rows
 */
export function knownRow(builder: BuilderInternals, entity: EncryptedEntity): RowKey | undefined {
  // Cells that are bound to no row are the same for all of them.
  if (!entity.primaryKey.isBound) return entity.primaryKey.ofEntity({});
  const { whereEntities, wheres, parameters } = builder.expressionMap;
  if (whereEntities.length > 1) return undefined;
  if (whereEntities.length === 1) return entity.primaryKey.ofEntity(whereEntities[0]);
  const equalities = requiredEqualities(wheres);
  return entity.primaryKey.ofRow((column) => {
    const parameter = equalities.get(column.propertyPath);
    return parameter === undefined ? undefined : parameters[parameter];
  });
}

/** Property paths that every found row has equal to a parameter, with the parameter's name. */
function requiredEqualities(condition: WhereClauseCondition): ReadonlyMap<string, string> {
  if (typeof condition === 'string') return new Map();
  if (Array.isArray(condition)) return conjunction(condition);
  if (condition.operator === 'brackets') return requiredEqualities(condition.condition);
  if (condition.operator !== 'equal') return new Map();
  const [path, parameter] = condition.parameters;
  return new Map(/^:\w+$/.test(parameter) ? [[path, parameter.slice(1)]] : []);
}

function conjunction(clauses: readonly WhereClause[]): ReadonlyMap<string, string> {
  const isOne = clauses.length === 1;
  // Text beside others may hold an OR, which has the lower precedence.
  const isConjunction = clauses.every(
    ({ type, condition }, index) => typeof condition !== 'string' && (index === 0 || type === 'and'),
  );
  if (!isOne && !isConjunction) return new Map();
  return new Map(clauses.flatMap(({ condition }) => [...requiredEqualities(condition)]));
}
