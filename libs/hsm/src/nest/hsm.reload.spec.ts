import { changedSettings } from './hsm.reload.js';

describe('changedSettings', () => {
  it.each<[string, object, object, string[]]>([
    ['nothing', { listen: { port: 1 }, names: ['a'] }, { listen: { port: 1 }, names: ['a'] }, []],
    ['a setting in a section', { listen: { port: 1, host: 'a' } }, { listen: { port: 2, host: 'a' } }, ['listen.port']],
    ['one that is gone', { log: 'info' }, {}, ['log']],
    ['one that is new', { tls: {} }, { tls: { tickets: true } }, ['tls.tickets']],
    ['a list as one', { hsm: { members: [{ name: 'a' }] } }, { hsm: { members: [{ name: 'b' }] } }, ['hsm.members']],
    ['a section that becomes another kind of thing', { ca: { url: 'a' } }, { ca: 'none' }, ['ca']],
    ['several', { a: 1, b: { c: 2, d: 3 } }, { a: 2, b: { c: 3, d: 3 } }, ['a', 'b.c']],
  ])('names %s', (_, running, wanted, expected) => {
    expect(changedSettings(running, wanted)).toEqual(expected);
  });
});
