import type { ParsedQuery } from '../../search/certificate-query.js';
import { sql, type Statement } from './sql.js';

export interface Search {
  readonly query: ParsedQuery;
  readonly issuerIds: readonly string[];
  readonly now: Date;
  /** How many rows of an index are walked at most. */
  readonly rows: number;
}

/**
 * A search walks one index, entered by what is equal for all its rows, in the order of the pages. What else is asked is looked at
 * row by row.
 */
interface Entry {
  readonly table: 'ca_certificate' | 'ca_certificate_name' | 'ca_revocation';
  readonly by?: readonly [column: 'value' | 'state' | 'requester' | 'profile', value: string];
  /** What its rows are sorted by in front of their serial. */
  readonly at?: 'reserved_at' | 'not_after';
}

function entryOf({ order, serialPrefix, names, status, requester, profile }: ParsedQuery): Entry {
  if (serialPrefix !== undefined) return { table: 'ca_certificate' };
  if (names.length > 0) return { table: 'ca_certificate_name', by: ['value', names[0]], at: 'reserved_at' };
  if (order === 'serial') return { table: 'ca_revocation', by: ['state', String(status)] };
  if (order === 'expiry') return { table: 'ca_certificate', at: 'not_after' };
  if (requester !== undefined) return { table: 'ca_certificate', by: ['requester', requester], at: 'reserved_at' };
  if (profile !== undefined) return { table: 'ca_certificate', by: ['profile', profile], at: 'reserved_at' };
  return { table: 'ca_certificate', at: 'reserved_at' };
}

/** What is found on a walk: one more than the page has at most. */
export function pageStatement(search: Search): Statement {
  const { query, rows } = search;
  const walk = walkOf(search);
  const filters = filtersOf(search, walk);
  // Whatever the database thinks of its rows, those of the walk are few. SQLite keeps the order of a CROSS JOIN.
  const text = `SELECT c.serial, c.issuer_id, c.profile, c.requester, c.not_before, c.not_after, c.reserved_at, c.issued_at, c.renews,
      c.certificate, r.state AS revocation_state, r.reason, r.revoked_at
    FROM (${walk.text} LIMIT ${rows}) AS walked
      CROSS JOIN ca_certificate AS c
      LEFT JOIN ca_revocation AS r ON r.issuer_id = c.issuer_id AND r.serial = c.serial AND r.state <> 'released'
    WHERE c.serial = walked.serial AND ${filters.join(' AND ')}
    ORDER BY ${walk.orderBy('walked.')} LIMIT ${query.limit + 1}`;
  return sql(text, ...walk.values);
}

/** The last row of a walk that reaches its bound, told from the index alone. @returns at most one row: `at`, `serial` */
export function endStatement(search: Search): Statement {
  const { text, values } = walkOf(search);
  return sql(`${text} LIMIT 1 OFFSET ${search.rows - 1}`, ...values);
}

interface Walk {
  readonly entry: Entry;
  /** Without its end. */
  readonly text: string;
  readonly orderBy: (prefix: string) => string;
  readonly values: (string | number)[];
  readonly bind: (value: string | number) => string;
}

function walkOf({ query, now }: Search): Walk {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const entry = entryOf(query);
  const { table, by, at } = entry;
  const conditions: string[] = [];
  if (by !== undefined) conditions.push(`${by[0]} = ${bind(by[1])}`);
  if (query.serialPrefix !== undefined)
    conditions.push(`serial >= ${bind(query.serialPrefix)} AND serial < ${bind(`${query.serialPrefix}g`)}`);
  if (at === 'not_after') conditions.push(...expiryConditions('not_after', query, now, bind));

  const isNewestFirst = at === 'reserved_at';
  const { after } = query;
  if (after !== undefined && at === undefined) conditions.push(`serial > ${bind(after.serial)}`);
  if (after !== undefined && at !== undefined)
    conditions.push(`(${at}, serial) ${isNewestFirst ? '<' : '>'} (${bind(after.at)}, ${bind(after.serial)})`);
  const orderBy = (prefix: string): string =>
    [...(at === undefined ? [] : ['at']), 'serial'].map((key) => `${prefix}${key}${isNewestFirst ? ' DESC' : ''}`).join(', '); // prettier-ignore
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const text = `SELECT ${at ?? '0'} AS at, serial FROM ${table}${where} ORDER BY ${orderBy('')}`;
  return { entry, text, orderBy, values, bind };
}

/** What the walk does not answer. */
function filtersOf({ query, issuerIds, now }: Search, { entry: { by, at }, bind }: Walk): string[] {
  const { names, profile, requester, status } = query;
  const filters = [`c.state = 'issued'`, `c.issuer_id IN (${issuerIds.map(bind).join(', ')})`];
  for (const name of by?.[0] === 'value' ? names.slice(1) : names)
    filters.push(
      `EXISTS (SELECT 1 FROM ca_certificate_name AS n WHERE n.value = ${bind(name)} AND n.reserved_at = c.reserved_at AND n.serial = c.serial)`,
    );
  if (profile !== undefined) filters.push(`c.profile = ${bind(profile)}`);
  if (requester !== undefined) filters.push(`c.requester = ${bind(requester)}`);
  if (at !== 'not_after') filters.push(...expiryConditions('c.not_after', query, now, bind));
  if (status === 'valid' || status === 'expired') filters.push('r.serial IS NULL');
  else if (status !== undefined) filters.push(`r.state = ${bind(status)}`);
  return filters;
}

function expiryConditions(
  column: string,
  { notAfterFrom, notAfterTo, status }: ParsedQuery,
  now: Date,
  bind: (value: number) => string,
): string[] {
  const from = [notAfterFrom, status === 'valid' ? now : undefined];
  const to = [notAfterTo, status === 'expired' ? now : undefined];
  return [
    ...from.flatMap((time) => (time === undefined ? [] : `${column} >= ${bind(time.getTime())}`)),
    ...to.flatMap((time) => (time === undefined ? [] : `${column} < ${bind(time.getTime())}`)),
  ];
}
