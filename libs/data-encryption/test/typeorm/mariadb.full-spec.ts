import { whyNoMariadb } from '../../../../test/support/mariadb.js';
import { useDatabases } from './databases.js';

// Every suite that goes over the databases, on MariaDB too.
if (whyNoMariadb === undefined) {
  useDatabases('MariaDB');
  for (const suite of [
    '../../src/typeorm/operations.spec.js',
    '../../src/typeorm/search.spec.js',
    '../../src/typeorm/encrypted-null.spec.js',
    '../../src/typeorm/refusals.spec.js',
    '../../src/typeorm/attacks.spec.js',
    '../../src/typeorm/key-scopes.spec.js',
    '../../src/typeorm/connection-pool.spec.js',
    '../../src/typeorm/lifecycle/data-lifecycle.spec.js',
    '../../src/typeorm/lifecycle/backfill.spec.js',
    '../../src/typeorm/shredding/tenant-shredding.spec.js',
  ]) {
    await import(suite);
  }
} else {
  it.skip(`the suites of the other databases: ${whyNoMariadb}`, () => undefined);
}
