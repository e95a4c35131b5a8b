import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { CrlClaim, CrlRecord, CrlScope, CrlStore } from '../crl-store.js';
import { type Row, Sql, sql, type Steps } from './sql.js';
import { withStore } from './store-error.js';

/** Octets of DER in one row: a statement stays small, however long the CRL is. */
const pieceBytes = 1 << 20;
/** How long a CRL that has lapsed is remembered: its number and digest, for whoever looks for what a signature was made of. */
const rememberedMilliseconds = 365 * 86_400_000;
/** Rows that one new CRL takes away: more than come, so that a backlog goes. */
const forgottenAtOnce = 256;

/** CRLs in SQLite or PostgreSQL. */
export class TypeOrmCrlStore implements CrlStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async claim(claim: CrlClaim): Promise<number | undefined> {
    return withStore('take a CRL number', () =>
      this.#sql.atomically(() => claimSteps(claim, this.#sql.isPostgres ? ' FOR UPDATE' : '')),
    );
  }

  async commit({ issuerId, number, ...crl }: CrlRecord): Promise<boolean> {
    const text = `UPDATE ca_crl SET state = 'signing', base_number = $3, through = $4, entries = $5, tbs_sha256 = $6,
        this_update = $7, next_update = $8
      WHERE issuer_id = $1 AND number = $2 AND state = 'building' RETURNING number`;
    const rows = await withStore('commit a CRL', () =>
      this.#sql.all(
        text,
        issuerId,
        number,
        crl.baseNumber ?? null,
        crl.through,
        crl.entries,
        crl.tbsSha256,
        crl.thisUpdate.getTime(),
        crl.nextUpdate.getTime(),
      ),
    );
    return rows.length === 1;
  }

  async complete({ issuerId, number, shard, kind, thisUpdate }: CrlRecord, der: Buffer): Promise<void> {
    await withStore('complete a CRL', async () => {
      for (let position = 0; position * pieceBytes < der.length; position += 1) {
        const octets = der.subarray(position * pieceBytes, (position + 1) * pieceBytes).toString('base64');
        await this.#sql.all(
          'INSERT INTO ca_crl_piece (issuer_id, number, position, octets) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
          issuerId,
          number,
          position,
          octets,
        );
        await nextTurn();
      }
      await this.#sql.all(
        `UPDATE ca_crl SET state = 'issued' WHERE issuer_id = $1 AND number = $2 AND state = 'signing'`,
        issuerId,
        number,
      );
      const previous = `(SELECT coalesce(max(number), 0) FROM ca_crl
           WHERE issuer_id = $1 AND shard = $2 AND kind = $3 AND state = 'issued' AND number < $4)`;
      await this.#sql.all(
        `DELETE FROM ca_crl_piece WHERE issuer_id = $1 AND number < ${previous}
         AND number IN (SELECT number FROM ca_crl WHERE issuer_id = $1 AND shard = $2 AND kind = $3)`,
        issuerId,
        shard,
        kind,
        number,
      );
      // Numbers ascend with time, so the lowest ones are the oldest; nobody looks at more rows than may be deleted.
      await this.#sql.all(
        `DELETE FROM ca_crl WHERE issuer_id = $1 AND number IN (
           SELECT number FROM (
             SELECT number, next_update FROM ca_crl WHERE issuer_id = $1 AND shard = $2 AND kind = $3 AND state = 'issued'
             AND number < ${previous} ORDER BY number LIMIT ${forgottenAtOnce}) AS oldest
           WHERE next_update < $5)`,
        issuerId,
        shard,
        kind,
        number,
        thisUpdate.getTime() - rememberedMilliseconds,
      );
    });
  }

  async abandon(issuerId: string, number: number): Promise<void> {
    const text = `DELETE FROM ca_crl WHERE issuer_id = $1 AND number = $2 AND state = 'building'`;
    await withStore('abandon a CRL', () => this.#sql.all(text, issuerId, number));
  }

  async newest({ issuerId, shard, kind }: CrlScope): Promise<CrlRecord | undefined> {
    const text = `SELECT * FROM ca_crl WHERE issuer_id = $1 AND shard = $2 AND kind = $3 AND state = 'issued'
      ORDER BY number DESC LIMIT 1`;
    const rows = await withStore('find the CRL', () => this.#sql.all(text, issuerId, shard, kind));
    return rows.map(recordOf).at(0);
  }

  async oldestInForce(issuerId: string, shard: number, now: Date): Promise<CrlRecord | undefined> {
    const text = `SELECT * FROM ca_crl WHERE issuer_id = $1 AND shard = $2 AND kind = 'full' AND state = 'issued'
      AND next_update > $3 AND this_update <= $3 ORDER BY number LIMIT 1`;
    const rows = await withStore('find the base of a delta CRL', () =>
      this.#sql.all(text, issuerId, shard, now.getTime()),
    );
    return rows.map(recordOf).at(0);
  }

  async shards(issuerId: string): Promise<number[]> {
    const text = 'SELECT DISTINCT shard FROM ca_crl WHERE issuer_id = $1 ORDER BY shard';
    const rows = await withStore('list the shards', () => this.#sql.all(text, issuerId));
    return rows.map(({ shard }) => Number(shard));
  }

  async addLocation(issuerId: string, publicUrl: string): Promise<void> {
    const text = 'INSERT INTO ca_crl_location (issuer_id, public_url) VALUES ($1, $2) ON CONFLICT DO NOTHING';
    await withStore('keep a public URL', () => this.#sql.all(text, issuerId, publicUrl));
  }

  async locations(issuerId: string): Promise<string[]> {
    const text = `SELECT public_url FROM ca_crl_location WHERE issuer_id = $1 ORDER BY public_url${this.#sql.inOctets}`;
    const rows = await withStore('list public URLs', () => this.#sql.all(text, issuerId));
    return rows.map(({ public_url }) => String(public_url));
  }

  async der({ issuerId, number }: Pick<CrlRecord, 'issuerId' | 'number'>): Promise<Buffer | undefined> {
    return withStore('read a CRL', async () => {
      // One statement, so that no other replica takes pieces away meanwhile.
      const text = 'SELECT octets FROM ca_crl_piece WHERE issuer_id = $1 AND number = $2 ORDER BY position';
      const pieces = await this.#sql.all(text, issuerId, number);
      if (pieces.length === 0) return undefined;
      return Buffer.concat(pieces.map(({ octets }) => Buffer.from(String(octets), 'base64')));
    });
  }
}

function* claimSteps(
  { issuerId, shard, kind, now, claimMilliseconds }: CrlClaim,
  lock: string,
): Steps<number | undefined> {
  // The row that changes of status wait for, too: whoever takes a number has the issuer's numbers alone.
  yield sql('INSERT INTO ca_status_sequence (issuer_id, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING', issuerId);
  yield sql(`SELECT sequence FROM ca_status_sequence WHERE issuer_id = $1${lock}`, issuerId);
  const unfinished = yield sql(
    `SELECT number FROM ca_crl WHERE issuer_id = $1 AND shard = $2 AND kind = $3 AND state <> 'issued' AND claimed_at > $4 AND claimed_at < $5
     AND number > (SELECT coalesce(max(number), 0) FROM ca_crl
                   WHERE issuer_id = $1 AND shard = $2 AND kind = $3 AND state = 'issued')`,
    issuerId,
    shard,
    kind,
    now.getTime() - claimMilliseconds,
    now.getTime() + claimMilliseconds,
  );
  if (unfinished.length > 0) return undefined;
  const [highest] = yield sql('SELECT max(number) AS number FROM ca_crl WHERE issuer_id = $1', issuerId);
  const number = Number(highest.number ?? 0) + 1;
  yield sql(
    `INSERT INTO ca_crl (issuer_id, number, shard, kind, state, claimed_at) VALUES ($1, $2, $3, $4, 'building', $5)`,
    issuerId,
    number,
    shard,
    kind,
    now.getTime(),
  );
  return number;
}

function recordOf(row: Row): CrlRecord {
  return {
    issuerId: String(row.issuer_id),
    shard: Number(row.shard),
    kind: row.kind as CrlRecord['kind'],
    number: Number(row.number),
    ...(row.base_number !== null && { baseNumber: Number(row.base_number) }),
    through: Number(row.through),
    entries: Number(row.entries),
    tbsSha256: String(row.tbs_sha256),
    thisUpdate: new Date(Number(row.this_update)),
    nextUpdate: new Date(Number(row.next_update)),
  };
}
