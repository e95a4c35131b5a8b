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

/**
 * Whether the database is there and would not have this very statement: its data, or a deadlock. Classes of SQLSTATE (appendix A of
 * PostgreSQL's manual), and what SQLite says of a value.
 */
export function isOfStatement(error: unknown): boolean {
  const { driverError, code } = ((error as CaError).cause ?? {}) as { driverError?: { code?: string }; code?: string };
  const { code: state = '' } = driverError ?? { code };
  return /^(22|23|40|42)[0-9A-Z]{3}$/.test(state) || /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|ERROR)/.test(state);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
