import { DataSource, SelectQueryBuilder } from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { withDataEncryption } from './data-encryption.js';
import { hooks } from './hooks.js';

const config = () => ({ hsm: new SoftwareKek(), kekLabel: 'kek', createKek: true, databaseId: 'test' });
const dataSource = () => new DataSource({ type: 'better-sqlite3', database: ':memory:' });

/** In a file of its own: once the hooks are in, they stay. */
describe('a TypeORM that is not the one we know', () => {
  it.each(
    hooks.map(({ owner, method, parameters }) => ({ name: `${owner.name}.${method}`, owner, method, parameters })),
  )('is refused without $name, and with another in its place', ({ name, owner, method, parameters }) => {
    const prototype = owner.prototype as Record<string, unknown>;
    const original = prototype[method];
    const refusal = {
      code: 'ERR_DATA_TYPEORM_INCOMPATIBLE',
      message: expect.stringMatching(
        new RegExp(`^TypeORM 1\\.\\d+\\.\\d+: .*${name.replace('.', '\\.')} of ${parameters}`),
      ),
    };
    try {
      for (const other of [undefined, (..._: [1, 2, 3, 4?]) => undefined, (_1: 1, _2: 2, _3: 3, _4: 4) => undefined]) {
        if (other?.length === parameters) continue;
        prototype[method] = other;
        expect(() => withDataEncryption(dataSource(), config())).toThrow(expect.objectContaining(refusal) as Error);
      }
    } finally {
      prototype[method] = original;
    }
  });

  it('is refused without a method of its driver', () => {
    const target = dataSource();
    Object.assign(target.driver, { prepareHydratedValue: undefined });
    expect(() => withDataEncryption(target, config())).toThrow('driver.prepareHydratedValue');
  });

  it('names every method that is missing', () => {
    const prototype = SelectQueryBuilder.prototype as unknown as Record<string, unknown>;
    const { loadRawResults, stream } = prototype;
    Object.assign(prototype, { loadRawResults: undefined, stream: undefined });
    try {
      expect(() => withDataEncryption(dataSource(), config())).toThrow(
        /loadRawResults of 1 .*, SelectQueryBuilder\.stream/,
      );
    } finally {
      Object.assign(prototype, { loadRawResults, stream });
    }
  });

  it('is taken when all are there', async () => {
    const opened = await withDataEncryption(dataSource(), config()).initialize();
    await opened.destroy();
    expect(opened.isInitialized).toBe(false);
  });
});
