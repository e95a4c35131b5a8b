import { DataEncryptionError } from '../errors.js';

/** What a database cannot do with ciphertext, and what to do instead. */
const refusals = {
  where: [
    'in a condition',
    'only IS NULL and IS NOT NULL can be asked; make it searchable, or select by another column',
  ],
  join: ['in the condition of a join', 'make it searchable, or join by another column'],
  comparison: [
    'in a condition that its blind index cannot answer',
    'compare it with parameters, by =, !=, <>, IN or NOT IN, or ask whether it is null',
  ],
  nullTest: ['asked whether it is null, which is encrypted too', 'filter after reading'],
  negation: [
    'in a condition that is negated, where its blind index does not know which rows are null',
    'compare it by = or IN, or filter after reading',
  ],
  ambiguous: [
    'in a condition beside a subquery, where it may be a column of another table',
    'write its alias before it',
  ],
  oddAlias: ['under an alias that is not one word', 'give it a name of letters, digits and _'],
  indexUpdate: ['whose blind index is set', 'set the property, which sets its index too'],
  shadowUpdate: ['that is written beside a property', 'set the property, which sets it too'],
  having: ['in HAVING', 'filter after reading'],
  orderBy: ['in ORDER BY', 'sort after reading, or by another column'],
  groupBy: ['in GROUP BY', 'group after reading, or by another column'],
  distinct: ['in DISTINCT ON', 'compare after reading'],
  expression: ['in an expression', 'select the property itself and compute after reading'],
  star: ['selected by *', 'select its alias, which selects the properties'],
  stray: [
    'as a cell, through a view, a subquery or an expression',
    'select the property of its entity, or query() and decryptRaw()',
  ],
  count: ['counted without its primary key', 'add the primary key to select'],
  subquery: ['selected by a subquery', 'select the key there and the property in the outer query'],
  withoutKey: ['selected without its primary key', 'select the primary key too, or use getMany()'],
  assignment: ['set by an SQL expression', 'set a value; read it and compute it before'],
  copy: ['read by an SQL expression that another column is set to', 'read the value and set it'],
  insertSelect: ['in INSERT … SELECT', 'read the rows and insert them'],
  returning: ["in RETURNING as text other than '*'", 'name properties in an array'],
  returningWithoutKey: ['in RETURNING without its primary key', 'return the primary key too'],
  upsert: [
    'overwritten by an upsert on another key than the primary key',
    'upsert by primary key, leave the column out of the update, or rowBinding none',
  ],
  upsertIfChanged: [
    'overwritten by an upsert that skips unchanged rows',
    'every cell differs: leave skipUpdateIfNoValuesChanged out',
  ],
  rawTable: ['of a table that is named by text', 'name the entity'],
  unknownKey: [
    'of a row whose primary key is not known before it is inserted',
    'set the primary key, or let TypeORM generate a uuid',
  ],
  statementText: ['in a statement that is not executed by its own builder', 'call execute()'],
} as const satisfies Record<string, readonly [got: string, wayOut: string]>;

export type Refusal = keyof typeof refusals;

/** @param column  `Entity.property` */
export function refuse(column: string, refusal: Refusal): never {
  const [got, wayOut] = refusals[refusal];
  const message = `${column}: want an operation that ciphertext allows, got the column ${got}; the way out: ${wayOut}`;
  throw new DataEncryptionError('ERR_DATA_OPERATION_REFUSED', message, { column });
}

/** @param column  an encrypted column that was found where it must not be */
export function refuseIf(column: string | undefined, refusal: Refusal): void {
  if (column !== undefined) refuse(column, refusal);
}

/** @param entity  the entity's name */
export function refuseKeyUpdate(entity: string): never {
  throw new DataEncryptionError(
    'ERR_DATA_OPERATION_REFUSED',
    `${entity}: want the primary key left as it is (its cells are bound to it), got an update of it; ` +
      'the way out: insert a new row and delete the old one',
  );
}
