import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { decryptionFailed } from '../errors.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';
import { withoutCells } from './returned-rows.js';

/** The methods of a TypeORM driver through which values go to the database and come from it. */
export interface DriverInternals {
  preparePersistentValue(value: unknown, column: ColumnMetadata): unknown;
  prepareHydratedValue(value: unknown, column: ColumnMetadata): unknown;
  escapeQueryWithParameters(sql: string, parameters: ObjectLiteral): [string, unknown[]];
  createGeneratedMap(metadata: EntityMetadata, row: unknown, index?: number, count?: number): ObjectLiteral | undefined;
}
export const driverMethods = [
  'preparePersistentValue',
  'prepareHydratedValue',
  'createGeneratedMap',
  'escapeQueryWithParameters',
] as const;

/**
 * Makes a driver take the cells of encrypted columns for their values. Both ways it fails where they were not encrypted or decrypted before.
 * @param installed  the installation of now: a data source may be destroyed and initialized again
 */
export function encodeInDriver(driver: DriverInternals, installed: () => Installation | undefined): void {
  const preparePersistentValue = driver.preparePersistentValue.bind(driver);
  const prepareHydratedValue = driver.prepareHydratedValue.bind(driver);
  const escapeQueryWithParameters = driver.escapeQueryWithParameters.bind(driver);
  const createGeneratedMap = driver.createGeneratedMap.bind(driver);

  driver.preparePersistentValue = (value, column) => {
    const installation = installed();
    // An update sets what its value is the index of; nothing else is stored there.
    if (installation?.indexed.has(column)) return installation.indexing?.get(column) ?? null;
    const cipher = installation?.ciphers.get(column);
    if (installation === undefined || cipher === undefined) return preparePersistentValue(value, column);
    if ((value === null || value === undefined) && !cipher.encryptsNull) return value;
    const cell = installation.writing?.cell(0, column);
    if (cell === undefined) refuse(cipher.name, 'statementText');
    return cell;
  };

  driver.prepareHydratedValue = (value, column) => {
    const installation = installed();
    const cipher = installation?.ciphers.get(column);
    if (cipher === undefined) return prepareHydratedValue(value, column);
    if (value === null || value === undefined || installation?.hydrating?.isDecrypted) return value;
    throw decryptionFailed(cipher.name);
  };

  driver.escapeQueryWithParameters = (sql, parameters) =>
    escapeQueryWithParameters(sql, installed()?.search.resolve(sql, parameters) ?? parameters);

  driver.createGeneratedMap = (metadata, row, index, count) => {
    const installation = installed();
    const entity = installation?.entity(metadata);
    if (installation === undefined || entity === undefined) return createGeneratedMap(metadata, row, index, count);
    return createGeneratedMap(metadata, withoutCells(installation, entity, row), index, count);
  };
}
