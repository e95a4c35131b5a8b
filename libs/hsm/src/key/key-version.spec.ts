import { randomBytes } from 'node:crypto';
import type { KeyDescription, KeyId } from './key.js';
import {
  areVersions,
  isVersionedId,
  lineageOfLabel,
  newestFirst,
  newKeyId,
  nextKeyId,
  versionOf,
} from './key-version.js';

const key = (id: KeyId, changes: Partial<KeyDescription> = {}): KeyDescription => ({
  ...{ id, label: 'kek', algorithm: 'aes-256', usage: 'encrypt', extractable: false },
  ...changes,
});
const randomId = () => randomBytes(16).toString('hex') as KeyId;
const day = new Date('2026-02-03T23:59:59Z');

describe('the id of a key', () => {
  it('says which version it is of, and the day it was made', () => {
    const first = key(newKeyId('kek', undefined, day));
    expect(first.id).toMatch(/^[0-9a-f]{8}0001[0-9a-f]{20}$/);
    expect(versionOf(first)).toMatchObject({ version: 1, madeOn: '2026-02-03' });
    const second = key(nextKeyId(first, new Date('2027-01-01')));
    expect(versionOf(second)).toEqual({ lineage: versionOf(first).lineage, version: 2, madeOn: '2027-01-01' });
    expect(nextKeyId(first)).not.toBe(nextKeyId(first));
  });

  it('that was not made so is a first version of unknown age, which others may follow', () => {
    const old = key(randomId());
    expect(versionOf(old)).toEqual({ lineage: expect.stringMatching(/^[0-9a-f]{8}$/), version: 1 });
    expect(isVersionedId(old)).toBe(false);
    const next = key(nextKeyId(old));
    expect(versionOf(next)).toMatchObject({ lineage: versionOf(old).lineage, version: 2 });
    expect(areVersions([old, next])).toBe(true);
  });

  it.each([
    ['another label', (id: KeyId) => key(id, { label: 'other' })],
    ['a changed version', (id: KeyId) => key(`${id.slice(0, 8)}ffff${id.slice(12)}` as KeyId)],
    ['a changed check', (id: KeyId) => key(`${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}` as KeyId)],
  ])('of %s counts as one that was not', (_, changed) => {
    expect(isVersionedId(changed(newKeyId('kek')))).toBe(false);
  });
});

describe('versions of one key', () => {
  const first = key(newKeyId('kek'));
  const second = key(nextKeyId(first));

  it.each<[string, KeyDescription]>([
    ['one that was made by itself', key(newKeyId('kek'))],
    ['one with an id of old', key(randomId())],
    ['a successor of another label', key(nextKeyId({ ...first, label: 'other' }), { label: 'other' })],
    ['a successor of another algorithm', key(nextKeyId(first), { algorithm: 'hmac-sha256' })],
    ['a successor of another usage', key(nextKeyId(first), { usage: 'wrap' })],
  ])('are not joined by %s', (_, stranger) => {
    expect(areVersions([first, second])).toBe(true);
    expect(areVersions([first, second, stranger])).toBe(false);
  });

  it('are ordered, also when two have one number', () => {
    const twins = [key(nextKeyId(first)), key(nextKeyId(first))];
    const third = key(nextKeyId(twins[0]));
    const [a, b] = twins.toSorted((x, y) => (x.id < y.id ? 1 : -1));
    for (const keys of [
      [first, ...twins, third],
      [third, ...twins.toReversed(), first],
    ]) {
      expect(newestFirst(keys).map(({ id }) => id)).toEqual([third, a, b, first].map(({ id }) => id));
    }
  });

  it('may be two that were made as the first of a label at the same moment', () => {
    const made = [1, 2].map(() => key(newKeyId('kek', lineageOfLabel('kek'))));
    expect(areVersions(made)).toBe(true);
    expect(areVersions([...made, key(nextKeyId(made[0]))])).toBe(true);
    expect(lineageOfLabel('kek')).not.toBe(lineageOfLabel('other'));
  });
});
