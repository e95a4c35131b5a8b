import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import {
  findReason,
  reasonOfCode,
  type RevocationReason,
  revocationReasons,
} from '../../revocation/revocation-reason.js';
import type { CertificateState } from '../certificate-store.js';
import type { StoredOcspResponse } from '../ocsp-store.js';
import type {
  CertificateStanding,
  EntryQuery,
  RevocationRecord,
  RevocationState,
  RevocationStore,
  StatusChange,
  StatusDecision,
  StoredCrlEntry,
} from '../revocation-store.js';
import { insertResponse } from './ocsp-statements.js';
import { RolledBack, type Row, Sql, sql } from './sql.js';
import { withStore } from './store-error.js';

const entriesPerPage = 2_000;

/** Revocations in SQLite or PostgreSQL. */
export class TypeOrmRevocationStore implements RevocationStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async change(
    issuerId: string,
    serial: string,
    decide: StatusDecision,
    responses: (change: StatusChange) => readonly StoredOcspResponse[],
  ): Promise<RevocationRecord | undefined> {
    let refusal: Error | undefined;
    const decideOrRefuse: StatusDecision = (current) => {
      try {
        return decide(current);
      } catch (error) {
        // The decision's own error, not one of the database.
        refusal = error as Error;
        return undefined;
      }
    };
    const result = await withStore('change the status of a certificate', () =>
      this.#sql.atomically(() => changeSteps(issuerId, serial, decideOrRefuse, responses)),
    );
    if (refusal !== undefined) throw refusal;
    return result;
  }

  async find(issuerId: string, serial: string): Promise<RevocationRecord | undefined> {
    const rows = await withStore('find a revocation', () => this.#sql.all(findText, issuerId, serial));
    return rows.map(recordOf).at(0);
  }

  async standings(serials: readonly string[]): Promise<CertificateStanding[]> {
    // IN, and nothing else, even of one: where a column of a join is compared with a parameter by `=`, SQLite prepares the statement
    // anew for each value, which takes three times as long as to answer it.
    const listed = serials.map((_, index) => `$${index + 1}`).join(', ');
    const text = `SELECT c.serial, c.issuer_id, c.state, c.not_after, r.state AS status, r.reason, r.revoked_at, r.sequence
      FROM ca_certificate c LEFT JOIN ca_revocation r ON r.issuer_id = c.issuer_id AND r.serial = c.serial
      WHERE c.serial IN (${listed})`;
    const rows = await withStore('find what is known of certificates', () => this.#sql.all(text, ...serials));
    return rows.map(standingOf);
  }

  async newestSequence(issuerId: string, shard?: number): Promise<number> {
    const rows = await withStore('find the newest revocation', () =>
      shard === undefined
        ? this.#sql.all('SELECT sequence FROM ca_status_sequence WHERE issuer_id = $1', issuerId)
        : this.#sql.all(
            'SELECT max(sequence) AS sequence FROM ca_revocation WHERE issuer_id = $1 AND shard = $2',
            issuerId,
            shard,
          ),
    );
    return Number(rows.at(0)?.sequence ?? 0);
  }

  async changedSince(issuerId: string, sequence: number, limit: number): Promise<string[] | undefined> {
    const rows = await withStore('list changed certificates', () =>
      this.#sql.all(
        'SELECT serial FROM ca_revocation WHERE issuer_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3',
        issuerId,
        sequence,
        limit + 1,
      ),
    );
    return rows.length > limit ? undefined : rows.map(({ serial }) => String(serial));
  }

  async *entries(query: EntryQuery): AsyncIterable<Iterable<StoredCrlEntry>> {
    const { condition, values } = conditionOf(query);
    const { inOctets } = this.#sql;
    const [after, limit] = [`$${values.length + 1}`, `$${values.length + 2}`];
    const text = `SELECT serial, state, reason, revoked_at, invalidity_date FROM ca_revocation
      WHERE ${condition} AND serial${inOctets} > ${after} ORDER BY serial${inOctets} LIMIT ${limit}`;
    for (let last = ''; ;) {
      const rows = await withStore('list revocations', () => this.#sql.all(text, ...values, last, entriesPerPage));
      yield entriesOf(rows);
      if (rows.length < entriesPerPage) return;
      last = String(rows[rows.length - 1].serial);
      // SQLite answers at once: without this nobody else had a turn until the last page.
      await nextTurn();
    }
  }
}

const findText = 'SELECT * FROM ca_revocation WHERE issuer_id = $1 AND serial = $2';

function* changeSteps(
  issuerId: string,
  serial: string,
  decide: StatusDecision,
  responses: (change: StatusChange) => readonly StoredOcspResponse[],
): Generator<ReturnType<typeof sql>, RevocationRecord | undefined, Row[]> {
  // First, since its row is the lock that changes of one issuer wait for.
  const [counter] = yield sql(
    `INSERT INTO ca_status_sequence (issuer_id, sequence) VALUES ($1, 1)
     ON CONFLICT (issuer_id) DO UPDATE SET sequence = ca_status_sequence.sequence + 1 RETURNING sequence`,
    issuerId,
  );
  const current = (yield sql(findText, issuerId, serial)).map(recordOf).at(0);
  const change = decide(current);
  if (change === undefined) throw new RolledBack(current);
  const sequence = Number(counter.sequence);
  yield sql(
    `INSERT INTO ca_revocation
       (issuer_id, serial, state, reason, revoked_at, invalidity_date, shard, not_after, requester, sequence)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (issuer_id, serial) DO UPDATE SET state = $3, reason = $4, revoked_at = $5, invalidity_date = $6,
       requester = $9, sequence = $10`,
    issuerId,
    serial,
    change.state,
    revocationReasons[change.reason],
    change.revokedAt.getTime(),
    change.invalidityDate?.getTime() ?? null,
    change.shard,
    change.notAfter.getTime(),
    change.requester,
    sequence,
  );
  if (change.compromisedKey !== undefined) {
    yield sql(
      'INSERT INTO ca_compromised_key (spki_sha256, serial) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      change.compromisedKey,
      serial,
    );
    // A ticket that was prepared before is not redeemed.
    yield sql(
      `UPDATE ca_certificate SET state = 'voided' WHERE state = 'reserved'
         AND subject_key_id = (SELECT subject_key_id FROM ca_certificate WHERE serial = $1)`,
      serial,
    );
  }
  yield sql('DELETE FROM ca_ocsp_response WHERE issuer_id = $1 AND serial = $2', issuerId, serial);
  for (const response of responses(change)) yield insertResponse({ ...response, sequence });
  return { ...change, sequence };
}

function conditionOf({ issuerId, shard, since, notAfterFrom }: EntryQuery): {
  condition: string;
  values: (string | number)[];
} {
  const values: (string | number)[] = [issuerId, notAfterFrom.getTime()];
  const condition = ['issuer_id = $1', 'not_after >= $2'];
  if (shard !== undefined) condition.push(`shard = $${values.push(shard)}`);
  if (since === undefined) condition.push("state <> 'released'");
  else condition.push(`sequence > $${values.push(since)}`);
  return { condition: condition.join(' AND '), values };
}

function standingOf(row: Row): CertificateStanding {
  return {
    serial: String(row.serial),
    issuerId: String(row.issuer_id),
    state: row.state as CertificateState,
    notAfter: new Date(Number(row.not_after)),
    status: row.status === null ? undefined : statusOf(row),
  };
}

function statusOf({ status, reason, revoked_at, sequence }: Row): CertificateStanding['status'] {
  return {
    state: status as RevocationState,
    reason: reasonOfCode(Number(reason)),
    revokedAt: new Date(Number(revoked_at)),
    sequence: Number(sequence),
  };
}

function recordOf(row: Row): RevocationRecord {
  return {
    ...new EntryOfRow(row),
    reason: reasonOfCode(Number(row.reason)),
    issuerId: String(row.issuer_id),
    shard: Number(row.shard),
    notAfter: new Date(Number(row.not_after)),
    requester: String(row.requester),
    sequence: Number(row.sequence),
  };
}

/** One after the other: none lives for longer than it is looked at. */
function* entriesOf(rows: readonly Row[]): Generator<StoredCrlEntry, void, undefined> {
  for (const row of rows) yield new EntryOfRow(row);
}

/** A class, since V8 may come to make the objects of a literal long-lived: the heap of half a million was then larger by 130 MB. */
class EntryOfRow implements StoredCrlEntry {
  readonly serial: string;
  readonly state: RevocationState;
  readonly reason: RevocationReason | undefined;
  readonly revokedAt: Date;
  readonly invalidityDate: Date | undefined;

  constructor({ serial, state, reason, revoked_at, invalidity_date }: Row) {
    this.serial = String(serial);
    this.state = state as RevocationState;
    this.reason = findReason(Number(reason));
    this.revokedAt = new Date(Number(revoked_at));
    this.invalidityDate = invalidity_date === null ? undefined : new Date(Number(invalidity_date));
  }
}
