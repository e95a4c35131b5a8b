import { SqlMemo } from './sql-memo.js';

/** A memo of texts, and how often each was made. */
function open() {
  const made: string[] = [];
  const memo = new SqlMemo((sql) => {
    made.push(sql);
    return { sql };
  });
  return { memo, made };
}

describe('what depends on a text of SQL alone', () => {
  it('is made once for each text', () => {
    const { memo, made } = open();
    const first = memo.of('SELECT 1');
    expect(first).toEqual({ sql: 'SELECT 1' });
    expect(memo.of('SELECT 1')).toBe(first);
    expect(memo.of('SELECT 2')).toEqual({ sql: 'SELECT 2' });
    expect(made).toEqual(['SELECT 1', 'SELECT 2']);
  });

  it('may be false', () => {
    let times = 0;
    const memo = new SqlMemo(() => ++times > 1);
    expect([memo.of('x'), memo.of('x'), times]).toEqual([false, false, 1]);
  });

  it('is kept of no more than 256 texts', () => {
    const { memo, made } = open();
    for (let text = 0; text < 256; text++) memo.of(`SELECT ${text}`);
    memo.of('SELECT 0');
    expect(made).toHaveLength(256);
    memo.of('one more');
    memo.of('SELECT 0');
    expect(made.slice(256)).toEqual(['one more', 'SELECT 0']);
  });

  it('is made anew of a text of more than 4,096 characters', () => {
    const { memo, made } = open();
    const [most, more] = ['x'.repeat(4_096), 'x'.repeat(4_097)];
    for (const text of [most, most, more, more]) expect(memo.of(text).sql).toBe(text);
    expect(made).toEqual([most, more, more]);
  });
});
