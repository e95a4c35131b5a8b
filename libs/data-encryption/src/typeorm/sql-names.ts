import { type SqlToken, tokenize } from './sql-tokens.js';

/** A name in a piece of SQL, as its parts in lower case: `u."email"` is `['u', 'email']`. */
export interface SqlName {
  readonly parts: readonly string[];
  /** It is only asked whether it is null, which a ciphertext answers as its plaintext would. */
  readonly isNullTest: boolean;
  /** Indexes of its first and its last token. */
  readonly first: number;
  readonly last: number;
}

/**
 * The names in a piece of SQL that may be columns. Strings, comments, parameters, functions, `AS` aliases and types of casts are
 * left out; keywords and tables are not told from columns. It errs towards finding a name where there is none.
 */
export function sqlNames(sql: string, isMariadb = false): readonly SqlName[] {
  return namesOf(tokenize(sql, isMariadb));
}

/** `sqlNames` of tokens. */
export function namesOf(tokens: readonly SqlToken[]): readonly SqlName[] {
  const names: SqlName[] = [];
  for (let first = 0; first < tokens.length; first++) {
    if (tokens[first].word === undefined) continue;
    let last = first;
    while (tokens[last + 1]?.text === '.' && tokens[last + 2]?.word !== undefined) last += 2;
    const isColumn = !isAliasOrType(tokens[first - 1]) && !isFunctionOrLiteral(tokens[last + 1]);
    if (isColumn) {
      const parts = tokens.slice(first, last + 1).flatMap((token) => token.word ?? []);
      names.push({ parts, isNullTest: isNullTest(tokens, last + 1), first, last });
    }
    first = last;
  }
  return names;
}

function isAliasOrType(before: SqlToken | undefined): boolean {
  return before?.word === 'as' || before?.text === '::';
}

/** `lower(`, and `date '2026-01-01'`. */
function isFunctionOrLiteral(after: SqlToken | undefined): boolean {
  return after?.text === '(' || after?.isString === true;
}

function isNullTest(tokens: readonly SqlToken[], at: number): boolean {
  const words = tokens.slice(at, at + 3).map((token) => token.word);
  if (words[0] === 'isnull' || words[0] === 'notnull') return true;
  return words[0] === 'is' && (words[1] === 'null' || (words[1] === 'not' && words[2] === 'null'));
}

const beforeTable = new Set(['from', 'join', 'into', 'update', 'using']);
/** What may stand behind a table that has no alias. */
const noAlias = new Set(
  'where on using left right full inner cross join natural group order having limit offset union except intersect window for set'
    .concat(' as returning fetch tablesample')
    .split(' '),
);

/** The tables that text names, by their names and aliases in it: `FROM person p, town AS t`. Without their schemas, in lower case. */
export function tablesByAlias(tokens: readonly SqlToken[]): ReadonlyMap<string, ReadonlySet<string>> {
  const tables = new Map<string, Set<string>>();
  const add = (alias: string, table: string) => tables.set(alias, (tables.get(alias) ?? new Set()).add(table));
  for (let at = 0; at < tokens.length; at++) {
    const { word, isQuoted } = tokens[at];
    if (isQuoted || word === undefined || !beforeTable.has(word)) continue;
    // A list of tables, each maybe with an alias.
    for (let first = at + 1; tokens[first]?.word !== undefined;) {
      let last = first;
      while (tokens[last + 1]?.text === '.' && tokens[last + 2]?.word !== undefined) last += 2;
      const table = tokens[last].word ?? '';
      add(table, table);
      const alias = tokens[last + 1]?.word === 'as' ? last + 2 : last + 1;
      const { word: name, isQuoted: isQuotedAlias = false } = tokens[alias] ?? {};
      const isAlias = name !== undefined && (isQuotedAlias || !noAlias.has(name));
      if (isAlias) add(name, table);
      const end = isAlias ? alias : last;
      if (tokens[end + 1]?.text !== ',') break;
      first = end + 2;
    }
  }
  return tables;
}
