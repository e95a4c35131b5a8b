/** A name in a piece of SQL, as its parts in lower case: `u."email"` is `['u', 'email']`. */
export interface SqlName {
  readonly parts: readonly string[];
  /** It is only asked whether it is null, which a ciphertext answers as its plaintext would. */
  readonly isNullTest: boolean;
}

/** One token; `word` is set for names, quoted or not. */
interface Token {
  readonly text: string;
  readonly word?: string;
  readonly isString?: boolean;
}

const patterns: readonly {
  readonly kind: 'skip' | 'string' | 'quoted' | 'word' | 'parameter';
  readonly pattern: RegExp;
}[] = [
  { kind: 'skip', pattern: /\s+|--[^\n]*|\/\*[^]*?(?:\*\/|$)/y },
  { kind: 'string', pattern: /[eE]'(?:[^'\\]|\\[^]|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)/y },
  // TypeORM, SQLite and PostgreSQL quote with "", SQLite also takes `` and a simple name in [].
  { kind: 'quoted', pattern: /"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[\w ]+\]/y },
  { kind: 'parameter', pattern: /:(?:\.\.\.)?[A-Za-z_][\w.]*|[$?]\d+/y },
  { kind: 'word', pattern: /[\p{L}_][\p{L}\p{N}_$]*/uy },
];

/**
 * The names in a piece of SQL that may be columns. Strings, comments, parameters, functions, `AS` aliases and types of casts are
 * left out; keywords and tables are not told from columns. It errs towards finding a name where there is none.
 */
export function sqlNames(sql: string): readonly SqlName[] {
  const tokens = tokenize(sql);
  const names: SqlName[] = [];
  for (let start = 0; start < tokens.length; start++) {
    if (tokens[start].word === undefined) continue;
    let end = start;
    while (tokens[end + 1]?.text === '.' && tokens[end + 2]?.word !== undefined) end += 2;
    const isColumn = !isAliasOrType(tokens[start - 1]) && !isFunctionOrLiteral(tokens[end + 1]);
    if (isColumn) {
      const parts = tokens.slice(start, end + 1).flatMap((token) => token.word ?? []);
      names.push({ parts, isNullTest: isNullTest(tokens, end + 1) });
    }
    start = end;
  }
  return names;
}

function tokenize(sql: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length;) {
    const found = sql.startsWith('::', at) ? undefined : match(sql, at);
    const text = found?.text ?? (sql.startsWith('::', at) ? '::' : sql[at]);
    at += text.length;
    if (found === undefined) tokens.push({ text });
    else if (found.kind === 'word') tokens.push({ text, word: text.toLowerCase() });
    else if (found.kind === 'quoted') tokens.push({ text, word: unquote(text).toLowerCase() });
    else if (found.kind === 'string') tokens.push({ text, isString: true });
    else if (found.kind === 'parameter') tokens.push({ text });
  }
  return tokens;
}

function match(sql: string, at: number) {
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

function isAliasOrType(before: Token | undefined): boolean {
  return before?.word === 'as' || before?.text === '::';
}

/** `lower(`, and `date '2026-01-01'`. */
function isFunctionOrLiteral(after: Token | undefined): boolean {
  return after?.text === '(' || after?.isString === true;
}

function isNullTest(tokens: readonly Token[], at: number): boolean {
  const words = tokens.slice(at, at + 3).map((token) => token.word);
  if (words[0] === 'isnull' || words[0] === 'notnull') return true;
  return words[0] === 'is' && (words[1] === 'null' || (words[1] === 'not' && words[2] === 'null'));
}
