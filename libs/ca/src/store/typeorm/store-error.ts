import { QueryFailedError } from 'typeorm';
import { CaError } from '../../errors.js';

/** Runs a statement; whatever the driver throws becomes one of our errors, keeping its cause. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
export async function withStore<T>(what: string, statement: () => Promise<T>): Promise<T> {
  try {
    return await statement();
  } catch (error) {
    throw new CaError('ERR_CA_STORE_UNAVAILABLE', `database: want to ${what}, got ${reason(error)}`, { cause: error });
  }
}

/** Runs an INSERT. @returns false when its key is taken. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
export async function insertUnique(what: string, insert: () => Promise<unknown>): Promise<boolean> {
  return withStore(what, async () => {
    try {
      await insert();
      return true;
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
  });
}

/** unique_violation of PostgreSQL (appendix A of its manual), and SQLite's for a primary key. */
function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code } = error.driverError as { code?: string };
  return code === '23505' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY';
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
