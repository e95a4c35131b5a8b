import { SqlMemo } from './sql-memo.js';

/** One token of a piece of SQL; `word` is set for names and keywords, in lower case and without quotes. */
export interface SqlToken {
  readonly text: string;
  /** Where it begins and ends in the text. */
  readonly start: number;
  readonly end: number;
  readonly word?: string;
  readonly isQuoted?: boolean;
  readonly isString?: boolean;
  /** Of a parameter `:name` or `:...name`: the name. */
  readonly parameter?: string;
}

type Patterns = readonly {
  readonly kind: 'skip' | 'string' | 'quoted' | 'word' | 'parameter';
  readonly pattern: RegExp;
}[];

const standardPatterns: Patterns = [
  { kind: 'skip', pattern: /\s+|--[^\n]*|\/\*[^]*?(?:\*\/|$)/y },
  { kind: 'string', pattern: /[eE]'(?:[^'\\]|\\[^]|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)/y },
  // TypeORM, SQLite and PostgreSQL quote with "", SQLite also takes `` and a simple name in [].
  { kind: 'quoted', pattern: /"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[\w ]+\]/y },
  { kind: 'parameter', pattern: /:(?:\.\.\.)?[A-Za-z_][\w.]*|[$?]\d+/y },
  // Also such as begin with a digit: TypeORM shortens long aliases to a hash. A number alone is none.
  { kind: 'word', pattern: /(?!\d+(?![\p{ID_Continue}$]))[\p{ID_Continue}$]+/uy },
];

/**
 * MariaDB: strings also in "", each with escapes by a backslash; `--` begins a comment before white space only, `#` always; what is in
 * `/*!` is executed.
 */
const mariadbPatterns: Patterns = [
  { kind: 'skip', pattern: /\s+|#[^\n]*|--(?=\s|$)[^\n]*|\/\*(?!M?!)[^]*?(?:\*\/|$)/y },
  { kind: 'string', pattern: /'(?:[^'\\]|\\[^]|'')*(?:'|$)|"(?:[^"\\]|\\[^]|"")*(?:"|$)/y },
  { kind: 'quoted', pattern: /`(?:[^`]|``)*(?:`|$)/y },
  ...standardPatterns.slice(-2),
];

/** Whether the text of a name is one token, unquoted too. */
export function isWord(name: string): boolean {
  return words.of(name);
}

const words = new SqlMemo((name) => {
  const [token, ...others] = tokenize(name);
  return others.length === 0 && token?.word !== undefined && !token.isQuoted;
});

/**
 * Comments and white space are left out. Operators are given character by character.
 * @param isMariadb  whether it is in the SQL of MariaDB
 */
export function tokenize(sql: string, isMariadb = false): readonly SqlToken[] {
  const patterns = isMariadb ? mariadbPatterns : standardPatterns;
  const tokens: SqlToken[] = [];
  for (let at = 0; at < sql.length;) {
    const found = sql.startsWith('::', at) ? undefined : match(sql, at, patterns);
    const text = found?.text ?? (sql.startsWith('::', at) ? '::' : sql[at]);
    const place = { text, start: at, end: at + text.length };
    at += text.length;
    if (found === undefined) tokens.push(place);
    else if (found.kind === 'word') tokens.push({ ...place, word: text.toLowerCase() });
    else if (found.kind === 'quoted') tokens.push({ ...place, word: unquote(text).toLowerCase(), isQuoted: true });
    else if (found.kind === 'string') tokens.push({ ...place, isString: true });
    else if (found.kind === 'parameter') tokens.push({ ...place, parameter: /^:(?:\.\.\.)?(.+)$/.exec(text)?.[1] });
  }
  return tokens;
}

function match(sql: string, at: number, patterns: Patterns) {
  for (const { kind, pattern } of patterns) {
    pattern.lastIndex = at;
    const text = pattern.exec(sql)?.[0];
    if (text !== undefined) return { kind, text };
  }
  return undefined;
}

function unquote(text: string): string {
  const quote = text[0];
  return text.slice(1, -1).replaceAll(quote + quote, quote);
}
