import { Brackets } from 'typeorm';

let count = 0;

/**
 * Conditions over searchable columns for `where`, `andWhere` and `orWhere` of a query builder, with parameters of their own:
 * `builder.where(enc.eq('u.email', email))`. They are what the same conditions are as text.
 */
export const enc = {
  /** @param column  as the builder names it: alias, dot, property path */
  eq: (column: string, value: unknown): Brackets => compare(column, '=', value),
  ne: (column: string, value: unknown): Brackets => compare(column, '<>', value),
  /** Of no values it finds nothing. */
  in: (column: string, values: readonly unknown[]): Brackets => contain(column, 'IN', values, '0=1'),
  /** Of no values it finds every row. */
  notIn: (column: string, values: readonly unknown[]): Brackets => contain(column, 'NOT IN', values, '0=0'),
};

function compare(column: string, operator: string, value: unknown): Brackets {
  const name = parameter();
  return new Brackets((where) => where.where(`${column} ${operator} :${name}`, { [name]: value }));
}

function contain(column: string, operator: string, values: readonly unknown[], ofNone: string): Brackets {
  const name = parameter();
  return new Brackets((where) =>
    values.length === 0 ? where.where(ofNone) : where.where(`${column} ${operator} (:...${name})`, { [name]: values }),
  );
}

/** The same name would be the same value in all of a statement. */
function parameter(): string {
  return `enc_${++count}`;
}
