import fc from 'fast-check';
import { sqlNames, tablesByAlias } from './sql-names.js';
import { tokenize } from './sql-tokens.js';

const names = (sql: string) => sqlNames(sql).map(({ parts, isNullTest }) => parts.join('.') + (isNullTest ? '?' : ''));

describe('names in SQL', () => {
  it.each([
    ['u.email = :email', ['u.email']],
    ['"u"."eMail" LIKE $1', ['u.email', 'like']],
    ['u.address.street=?', ['u.address.street']],
    ['`u`.`email` <> [mail]', ['u.email', 'mail']],
    ['u . email', ['u.email']],
    ['"od""d" > 1', ['od"d']],
    ['u.email IS NULL', ['u.email?', 'is', 'null']],
    ['u.email is not null AND x', ['u.email?', 'is', 'not', 'null', 'and', 'x']],
    ['u.email ISNULL', ['u.email?', 'isnull']],
    ["lower(u.name) = 'u.email'", ['u.name']],
    ["'it''s u.email'", []],
    ["E'it\\'s u.email' || u.name", ['u.name']],
    ["u.name = '", ['u.name']],
    ['u.a -- u.email\n= u.b', ['u.a', 'u.b']],
    ['u.a /* u.email */ = u.b', ['u.a', 'u.b']],
    ['CAST(u.a AS date) > :date', ['u.a', 'as']],
    ['u.a::date', ['u.a']],
    ["date '2026-01-01' < u.a", ['u.a']],
    ['u.data->>:key', ['u.data']],
    ['ARRAY[u.email, u.name]', ['array', 'u.email', 'u.name']],
    [':...emails', []],
    ['größe = 1', ['größe']],
    ['9d94e8.email=1.5', ['9d94e8.email']],
    ['$u.e\u0301mail<1', ['$u.e\u0301mail']],
  ])('%s', (sql, expected) => {
    expect(names(sql)).toEqual(expected);
  });

  it('ends for any text', () => {
    fc.assert(fc.property(fc.string({ maxLength: 100, unit: 'binary' }), (sql) => Array.isArray(sqlNames(sql))));
    const words = fc.constantFrom('FROM', 'join', 'a', '"b"', '.', ',', '(', ')', 'as', 'where', ' ');
    const texts = fc.array(words, { maxLength: 12 }).map((each) => each.join(' '));
    fc.assert(fc.property(texts, (sql) => tablesByAlias(tokenize(sql)).size <= 12));
  });

  it.each([
    ['SELECT 1 FROM person p, main.town AS "t" WHERE 1', { person: 'person', p: 'person', town: 'town', t: 'town' }],
    ['SELECT 1 FROM person WHERE x IN (SELECT 1 FROM pet) ', { person: 'person', pet: 'pet' }],
    ['FROM a LEFT JOIN b ON b.x = a.x JOIN (SELECT 1 FROM c) d', { a: 'a', b: 'b', c: 'c' }],
    ['UPDATE a SET x = 1', { a: 'a' }],
    ['FROM', {}],
  ])('tables of %s', (sql, expected) => {
    const found = [...tablesByAlias(tokenize(sql))].map(([alias, tables]) => [alias, [...tables].join()]);
    expect(Object.fromEntries(found)).toEqual(expected);
  });
});
