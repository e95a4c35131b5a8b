import type { DataSource } from 'typeorm';
import { DataEncryptionError } from '../../errors.js';

/** JSON_TABLE and SKIP LOCKED (https://mariadb.com/kb/en/json_table, https://mariadb.com/kb/en/select#skip-locked). */
const leastVersion = [10, 6] as const;

/** What a server, and the connections to it, must be like. Each of these would otherwise change what is stored, without a word. */
const wants: readonly {
  readonly isMet: (settings: Settings) => boolean;
  readonly want: string;
  readonly got: (settings: Settings) => string | undefined;
}[] = [
  {
    isMet: ({ version }) => isKnown(version ?? ''),
    want: `MariaDB ${leastVersion.join('.')} or later`,
    got: ({ version }) => version,
  },
  {
    // It cuts what is too long for its column, and a cell that was cut decrypts no more.
    isMet: ({ sql_mode }) => has(sql_mode, 'STRICT_TRANS_TABLES') || has(sql_mode, 'STRICT_ALL_TABLES'),
    want: 'sql_mode with STRICT_TRANS_TABLES',
    got: ({ sql_mode }) => sql_mode,
  },
  {
    // Text would be quoted otherwise than conditions are read here, and than mysql2 writes it.
    isMet: ({ sql_mode }) => !has(sql_mode, 'ANSI_QUOTES') && !has(sql_mode, 'NO_BACKSLASH_ESCAPES'),
    want: 'sql_mode without ANSI_QUOTES and NO_BACKSLASH_ESCAPES',
    got: ({ sql_mode }) => sql_mode,
  },
  {
    // Primary keys and tenants are text of any language.
    isMet: ({ character_set_connection: charset }) => charset === 'utf8mb4',
    want: 'connections in utf8mb4 (the option charset)',
    got: ({ character_set_connection: charset }) => charset,
  },
];

type Settings = Readonly<Record<string, string | undefined>>;

/**
 * Refuses a server on which cells could not be relied on.
 * @throws {DataEncryptionError} ERR_DATA_CONFIG_INVALID naming all that is otherwise than wanted
 */
export async function refuseUnfitServer(dataSource: DataSource): Promise<void> {
  const settings = await readSettings(dataSource);
  const faults = wants
    .filter(({ isMet }) => !isMet(settings))
    .map(({ want, got }) => `want ${want}, got ${got(settings) ?? 'none'}`);
  if (countsChangedRows(dataSource)) faults.push('want affected rows to be those found, got the flag -FOUND_ROWS');
  if (faults.length === 0) return;
  throw new DataEncryptionError('ERR_DATA_CONFIG_INVALID', ['data source:', ...faults].join('\n✖ '));
}

const names = ['version', 'sql_mode', 'character_set_connection', 'wsrep_on', 'auto_increment_increment'];

export async function readSettings(dataSource: DataSource): Promise<Settings> {
  const list = names.map((name) => `'${name}'`).join(', ');
  const rows = await dataSource.manager.query<{ Variable_name: string; Value: string }[]>(
    `SHOW VARIABLES WHERE Variable_name IN (${list})`,
  );
  return Object.fromEntries(rows.map(({ Variable_name, Value }) => [Variable_name, Value]));
}

function isKnown(version: string): boolean {
  const [major, minor] = version.split('.').map(Number);
  const [leastMajor, leastMinor] = leastVersion;
  return version.includes('MariaDB') && (major > leastMajor || (major === leastMajor && minor >= leastMinor));
}

function has(mode: string | undefined, name: string): boolean {
  return (mode ?? '').split(',').includes(name);
}

/** As `affectedRows` of mysql2 then does: a row that is set to what it was would not be counted. */
function countsChangedRows({ options }: DataSource): boolean {
  const { flags, extra } = options as { flags?: unknown; extra?: { flags?: unknown } };
  const given = [flags, extra?.flags].flat().flatMap((each) => (typeof each === 'string' ? each.split(',') : []));
  return given.some((flag) => flag.trim().toUpperCase() === '-FOUND_ROWS');
}
