import type { DataSource } from 'typeorm';
import type { SignedRecord, SignedRecordKind, SignedRecordStore } from '../signed-record-store.js';
import { type Row, Sql } from './sql.js';
import { withStore } from './store-error.js';

const pageRows = 500;

/** What was committed to be signed, in SQLite or PostgreSQL, a page at a time. */
export class TypeOrmSignedRecordStore implements SignedRecordStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async *signedRecords(): AsyncGenerator<SignedRecord, void, undefined> {
    yield* this.#certificates();
    yield* this.#crls();
    yield* this.#documents();
  }

  async *#certificates(): AsyncGenerator<SignedRecord, void, undefined> {
    const { inOctets } = this.#sql;
    const text = `SELECT serial, tbs_sha256, tbs, certificate FROM ca_certificate
      WHERE serial${inOctets} > $1 AND state IN ('signing', 'issued') ORDER BY serial${inOctets} LIMIT ${pageRows}`;
    for await (const { serial, tbs_sha256, tbs, certificate } of this.#pages(text, 'serial')) {
      const octets = certificate === null ? decode(tbs) : signedPart(decode(certificate));
      yield { kind: 'certificate', id: String(serial), sha256: String(tbs_sha256), octets };
    }
  }

  async *#crls(): AsyncGenerator<SignedRecord, void, undefined> {
    const issuers = await withStore('list the issuers of CRLs', () =>
      this.#sql.all('SELECT DISTINCT issuer_id FROM ca_crl ORDER BY issuer_id'),
    );
    for (const { issuer_id } of issuers) {
      const text = `SELECT number, tbs_sha256 FROM ca_crl
        WHERE issuer_id = $2 AND number > $1 AND tbs_sha256 IS NOT NULL ORDER BY number LIMIT ${pageRows}`;
      for await (const { number, tbs_sha256 } of this.#pages(text, 'number', 0, String(issuer_id))) {
        const pieces = await withStore('read a CRL', () =>
          this.#sql.all(
            'SELECT octets FROM ca_crl_piece WHERE issuer_id = $1 AND number = $2 ORDER BY position',
            issuer_id,
            number,
          ),
        );
        const der = Buffer.concat(pieces.map(({ octets }) => decode(octets)));
        const record = { kind: 'crl', id: String(number), sha256: String(tbs_sha256) } as const;
        yield der.length === 0 ? record : { ...record, octets: signedPart(der) };
      }
    }
  }

  async *#documents(): AsyncGenerator<SignedRecord, void, undefined> {
    const { inOctets } = this.#sql;
    const text = `SELECT sha256, kind, octets FROM ca_signed_document
      WHERE sha256${inOctets} > $1 ORDER BY sha256${inOctets} LIMIT ${pageRows}`;
    for await (const { sha256, kind, octets } of this.#pages(text, 'sha256')) {
      yield { kind: kind as SignedRecordKind, id: String(sha256), sha256: String(sha256), octets: decode(octets) };
    }
  }

  /** Rows of a statement whose `$1` is the last value of a column seen before. */
  async *#pages(
    text: string,
    column: string,
    first: string | number = '',
    ...more: readonly string[]
  ): AsyncGenerator<Row, void, undefined> {
    for (let after: string | number | null = first; ;) {
      const from: string | number | null = after;
      const rows: Row[] = await withStore('list what was signed', () => this.#sql.all(text, from, ...more));
      yield* rows;
      if (rows.length < pageRows) return;
      after = rows[rows.length - 1][column];
    }
  }
}

function decode(base64: string | number | null): Buffer {
  return Buffer.from(String(base64 ?? ''), 'base64');
}

/** The first value inside the outer SEQUENCE, header included: without a parse of all that follows, since there may be millions. */
function signedPart(der: Buffer): Buffer {
  const start = contentStart(der, 0);
  const inner = contentStart(der, start);
  return der.subarray(start, inner + lengthAt(der, start));
}

function contentStart(der: Buffer, at: number): number {
  const first = der[at + 1] ?? 0;
  return at + 2 + (first < 0x80 ? 0 : first & 0x7f);
}

/** Zero for what is no DER: nothing is then signed by it. */
function lengthAt(der: Buffer, at: number): number {
  const first = der[at + 1] ?? 0;
  const octets = first & 0x7f;
  if (first < 0x80) return first;
  return octets >= 1 && octets <= 4 && at + 2 + octets <= der.length ? der.readUIntBE(at + 2, octets) : 0;
}
