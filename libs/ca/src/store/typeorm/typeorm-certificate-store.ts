import { type DataSource, In, LessThanOrEqual, Not, type Repository } from 'typeorm';
import type {
  CertificateRecord,
  CertificateStore,
  CountOfKey,
  SearchableReservation,
  TicketRedemption,
} from '../certificate-store.js';
import { certificateSteps, type CertificateWrite } from './certificate-writes.js';
import { CertificateEntity } from './certificate.entity.js';
import { entityOf } from './entity-of.js';
import { exclusively } from './exclusively.js';
import { GroupCommit } from './group-commit.js';
import { Sql } from './sql.js';
import { isOfStatement, withStore } from './store-error.js';

/** More certificates of one CA's key than cross-signing makes. */
const maximumAuthorities = 16;
/** Under way at once on SQLite: while one waits for the disk, the next is made, in one turn of the event loop. */
const commitsOnSqlite = 2;
/** Unfinished certificates that are read at once. */
const unfinishedPage = 200;

/** Certificates in SQLite or PostgreSQL. The steps of issuance share transactions with those of other certificates. */
export class TypeOrmCertificateStore implements CertificateStore {
  readonly #rows: Repository<CertificateEntity>;
  readonly #sql: Sql;
  readonly #writes: GroupCommit<CertificateWrite, boolean>;
  /** On SQLite they wait neither for the disk nor for writes that do: the commit of a TBS, which follows, brings them there. */
  readonly #reservations: GroupCommit<CertificateWrite, boolean>;

  constructor(private readonly dataSource: DataSource) {
    this.#rows = dataSource.getRepository(CertificateEntity);
    const sql = new Sql(dataSource);
    this.#sql = sql;
    const commit = (writes: readonly CertificateWrite[], until?: 'ordered'): Promise<boolean[]> =>
      withStore('write certificates', () => sql.atomically(() => certificateSteps(sql.isPostgres, writes), until));
    this.#writes = new GroupCommit(commit, isOfStatement, sql.isPostgres ? 1 : commitsOnSqlite);
    this.#reservations = sql.isPostgres
      ? this.#writes
      : new GroupCommit((writes) => commit(writes, 'ordered'), isOfStatement);
  }

  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    return exclusively(this.dataSource, work);
  }

  async reserve(reservation: SearchableReservation): Promise<boolean> {
    return this.#reservations.write({ kind: 'reserve', ...reservation });
  }

  async isCompromised(spkiSha256: string): Promise<boolean> {
    const text = 'SELECT serial FROM ca_compromised_key WHERE spki_sha256 = $1';
    const rows = await withStore('look for a compromised key', () => this.#sql.all(text, spkiSha256));
    return rows.length > 0;
  }

  async commitTbs(ticket: TicketRedemption): Promise<boolean> {
    return this.#writes.write({ kind: 'commit', ...ticket });
  }

  async complete(serial: string, certificate: Buffer, issuedAt: Date): Promise<boolean> {
    return this.#writes.write({ kind: 'complete', serial, certificate, issuedAt });
  }

  async void(serial: string): Promise<void> {
    await this.#update('void a serial', { serial, state: 'reserved' }, { state: 'voided' });
  }

  async voidExpired(now: Date): Promise<number> {
    const expired = { state: 'reserved', ticketExpiresAt: LessThanOrEqual(now) } as const;
    const result = await withStore('void expired serials', () => this.#rows.update(expired, { state: 'voided' }));
    return result.affected ?? 0;
  }

  async find(serial: string): Promise<CertificateRecord | undefined> {
    const text = 'SELECT * FROM ca_certificate WHERE serial = $1';
    const [row] = await withStore('find a certificate', () => this.#sql.all(text, serial));
    return row && entityOf(this.#rows.metadata, row);
  }

  async findByIdempotencyKey(idempotencyKey: string): Promise<CertificateRecord | undefined> {
    const where = { idempotencyKey, state: Not('voided' as const) };
    return (await withStore('find a certificate by its key', () => this.#rows.findOneBy(where))) ?? undefined;
  }

  async forgetIdempotencyKey(serial: string): Promise<void> {
    const change = { idempotencyKey: () => 'NULL' };
    await withStore('forget an idempotency key', () => this.#rows.update({ serial }, change));
  }

  async findAuthority(subjectKeyId: string): Promise<CertificateRecord | undefined> {
    const where = { subjectKeyId, isAuthority: true, state: In(['reserved', 'signing', 'issued']) };
    const found = await withStore('find a CA certificate', () =>
      this.#rows.findOne({ where, order: { reservedAt: 'DESC' } }),
    );
    return found ?? undefined;
  }

  async listAuthority(subjectKeyId: string): Promise<CertificateRecord[]> {
    const where = { subjectKeyId, isAuthority: true, state: 'issued' } as const;
    return withStore('list CA certificates', () =>
      this.#rows.find({ where, order: { reservedAt: 'DESC' }, take: maximumAuthorities }),
    );
  }

  async lastExpiry(issuerId: string): Promise<Date | undefined> {
    const where = { issuerId, state: Not('voided' as const) };
    const last = await withStore('find the last expiry', () =>
      this.#rows.findOne({ select: { serial: true, notAfter: true }, where, order: { notAfter: 'DESC' } }),
    );
    return last?.notAfter;
  }

  async countOfKey(subjectKeyId: string, now: Date): Promise<CountOfKey[]> {
    const text = `SELECT c.issuer_id, c.profile, c.is_authority, count(*) AS certificates ${validOfKey}
      GROUP BY c.issuer_id, c.profile, c.is_authority`;
    const rows = await withStore('count the certificates of a key', () =>
      this.#sql.all(text, subjectKeyId, now.getTime()),
    );
    return rows.map((row) => ({
      issuerId: String(row.issuer_id),
      profile: String(row.profile),
      isAuthority: Number(row.is_authority) === 1,
      certificates: Number(row.certificates),
    }));
  }

  async listOfKey(subjectKeyId: string, now: Date, limit: number): Promise<string[]> {
    const text = `SELECT c.serial ${validOfKey} ORDER BY c.serial${this.#sql.inOctets} LIMIT $3`;
    const rows = await withStore('list the certificates of a key', () =>
      this.#sql.all(text, subjectKeyId, now.getTime(), limit),
    );
    return rows.map(({ serial }) => String(serial));
  }

  async disown(serial: string): Promise<void> {
    await this.#update('disown a certificate', { serial, state: 'signing' }, { seal: () => 'NULL' });
  }

  async listSigning(
    issuerId: string,
    expiredBefore?: Date,
    after?: Pick<CertificateRecord, 'reservedAt' | 'serial'>,
  ): Promise<CertificateRecord[]> {
    const query = this.#rows
      .createQueryBuilder('c')
      .where(`c.issuer_id = :issuerId AND c.state = 'signing'`, { issuerId })
      .andWhere(
        `NOT EXISTS (SELECT 1 FROM ca_revocation r
           WHERE r.issuer_id = c.issuer_id AND r.serial = c.serial AND r.state = 'revoked')`,
      )
      .orderBy({ 'c.reserved_at': 'ASC', 'c.serial': 'ASC' })
      .limit(unfinishedPage);
    if (after !== undefined)
      query.andWhere('(c.reserved_at, c.serial) > (:reservedAt, :serial)', {
        reservedAt: after.reservedAt.getTime(),
        serial: after.serial,
      });
    if (expiredBefore !== undefined)
      query.andWhere('c.ticket_expires_at <= :expiredBefore', { expiredBefore: expiredBefore.getTime() });
    return withStore('list unfinished certificates', () => query.getMany());
  }

  async #update(
    what: string,
    where: Parameters<Repository<CertificateEntity>['update']>[0],
    change: Parameters<Repository<CertificateEntity>['update']>[1],
  ): Promise<boolean> {
    const { affected } = await withStore(what, () => this.#rows.update(where, change));
    return affected === 1;
  }
}

/** Those of a key that are issued, or may be, and in force. */
const validOfKey = `FROM ca_certificate c
  WHERE c.subject_key_id = $1 AND c.state IN ('issued', 'signing') AND c.not_after >= $2 AND NOT EXISTS (
    SELECT 1 FROM ca_revocation r WHERE r.issuer_id = c.issuer_id AND r.serial = c.serial AND r.state = 'revoked')`;
