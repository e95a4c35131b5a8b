import type { SqlName } from './sql-names.js';
import type { SqlToken } from './sql-tokens.js';

/** A comparison that a blind index can answer, as it is written: a column, an operator and parameters. */
export interface SearchClause {
  readonly operator: 'IN' | 'NOT IN';
  readonly parameters: readonly { readonly name: string; readonly isList: boolean }[];
  /** Index of its last token. */
  readonly last: number;
}

// What may stand around it: nothing that binds its parts tighter than the comparison does.
const before = new Set(['and', 'or', 'not', 'on', 'where', 'when', 'then', 'else']);
const after = new Set(
  'and or then else end when group order having limit offset union except intersect where window for returning'
    .concat(' left right full inner cross join natural')
    .split(' '),
);

/**
 * The comparison that a name begins: `= :x`, `!= :x`, `<> :x`, `IN (:x, :...y)` or `NOT IN (…)`.
 * @returns undefined when it is any other, a literal among them
 */
export function searchClauseAt(tokens: readonly SqlToken[], { first, last }: SqlName): SearchClause | undefined {
  const clause = equalityAt(tokens, last + 1) ?? listAt(tokens, last + 1);
  return clause !== undefined && mayFollow(tokens[first - 1]) && mayPrecede(tokens[clause.last + 1])
    ? clause
    : undefined;
}

/**
 * Whether the rows that a comparison does not find are left out: there is no negation in it, before it or before a group around it, and
 * nothing is computed of such a group.
 */
export function isAffirmed(tokens: readonly SqlToken[], { first }: SqlName, { operator, last }: SearchClause): boolean {
  const groups: number[] = [];
  for (let at = 0; at < first; at++) {
    if (tokens[at].text === '(') groups.push(at);
    else if (tokens[at].text === ')') groups.pop();
  }
  const isNegated = operator === 'NOT IN' || [first, ...groups].some((at) => isWord(tokens[at - 1], 'not'));
  return !isNegated && endsOfGroups(tokens, last + 1).every((end) => mayPrecede(tokens[end + 1]));
}

/** Where the groups end that are open at a token. */
function endsOfGroups(tokens: readonly SqlToken[], from: number): readonly number[] {
  const ends: number[] = [];
  let opened = 0;
  for (let at = from; at < tokens.length; at++) {
    if (tokens[at].text === '(') opened++;
    else if (tokens[at].text === ')' && --opened < 0) {
      ends.push(at);
      opened = 0;
    }
  }
  return ends;
}

function mayFollow(token: SqlToken | undefined): boolean {
  return token === undefined || token.text === '(' || isKeyword(token, before);
}

function mayPrecede(token: SqlToken | undefined): boolean {
  return token === undefined || token.text === ')' || token.text === ',' || isKeyword(token, after);
}

function isKeyword({ word, isQuoted = false }: SqlToken, words: ReadonlySet<string>): boolean {
  return word !== undefined && !isQuoted && words.has(word);
}

function equalityAt(tokens: readonly SqlToken[], at: number): SearchClause | undefined {
  const characters = (tokens[at]?.text ?? '') + (isAdjacent(tokens, at) ? tokens[at + 1].text : '');
  const [operator, length] =
    characters === '!=' || characters === '<>' ? (['NOT IN', 2] as const) : (['IN', 1] as const);
  if (length === 1 && tokens[at]?.text !== '=') return undefined;
  const parameter = parameterAt(tokens, at + length);
  if (parameter === undefined || parameter.isList) return undefined;
  return { operator, parameters: [parameter], last: at + length };
}

function isAdjacent(tokens: readonly SqlToken[], at: number): boolean {
  return at + 1 < tokens.length && tokens[at].end === tokens[at + 1].start;
}

function listAt(tokens: readonly SqlToken[], at: number): SearchClause | undefined {
  const isNegated = isWord(tokens[at], 'not');
  let last = isNegated ? at + 1 : at;
  if (!isWord(tokens[last], 'in') || tokens[last + 1]?.text !== '(') return undefined;
  last += 1;
  const parameters = [];
  do {
    const parameter = parameterAt(tokens, last + 1);
    if (parameter === undefined) return undefined;
    parameters.push(parameter);
    last += 2;
  } while (tokens[last]?.text === ',');
  return tokens[last]?.text === ')' ? { operator: isNegated ? 'NOT IN' : 'IN', parameters, last } : undefined;
}

function isWord(token: SqlToken | undefined, word: string): boolean {
  return token?.word === word && !token.isQuoted;
}

function parameterAt(tokens: readonly SqlToken[], at: number) {
  const { parameter, text } = tokens[at] ?? {};
  return parameter === undefined ? undefined : { name: parameter, isList: text?.startsWith(':...') ?? false };
}
