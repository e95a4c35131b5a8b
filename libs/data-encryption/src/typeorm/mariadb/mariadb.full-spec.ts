import { whyNoMariadb } from '../../../../../test/support/mariadb.js';
import { useDatabases } from '../../../test/typeorm/databases.js';

// Every suite that goes over the databases, on MariaDB too.
if (whyNoMariadb === undefined) {
  useDatabases('MariaDB');
  for (const suite of [
    '../operations.spec.js',
    '../search.spec.js',
    '../refusals.spec.js',
    '../attacks.spec.js',
    '../key-scopes.spec.js',
    '../connection-pool.spec.js',
    '../lifecycle/data-lifecycle.spec.js',
    '../lifecycle/backfill.spec.js',
    '../shredding/tenant-shredding.spec.js',
  ]) {
    await import(suite);
  }
} else {
  it.skip(`the suites of the other databases: ${whyNoMariadb}`, () => undefined);
}
