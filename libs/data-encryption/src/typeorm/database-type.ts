import type { DataSource } from 'typeorm';

/** The databases whose statements and stored forms are known here. */
export type DatabaseType = 'better-sqlite3' | 'mariadb' | 'postgres';

/** By TypeORM's name of the driver: that of MySQL speaks to MariaDB too. */
const byDriver: Readonly<Record<string, DatabaseType>> = {
  'better-sqlite3': 'better-sqlite3',
  mariadb: 'mariadb',
  mysql: 'mariadb',
  postgres: 'postgres',
};

/** @returns undefined for one that is not known */
export function findDatabaseType({ options }: DataSource): DatabaseType | undefined {
  return byDriver[options.type];
}

/** Of a data source that encryption was attached to. */
export function databaseType(dataSource: DataSource): DatabaseType {
  const found = findDatabaseType(dataSource);
  if (found === undefined) throw new TypeError(`want a known database, got ${dataSource.options.type}`);
  return found;
}
