import type { SearchableReservation, TicketRedemption } from '../certificate-store.js';
import { sqlOfRows, type Statement, type Steps, type Value } from './sql.js';

/** A step of a certificate's life, to be committed together with those of others. */
export type CertificateWrite =
  | ({ readonly kind: 'reserve' } & SearchableReservation)
  | ({ readonly kind: 'commit' } & TicketRedemption)
  | { readonly kind: 'complete'; readonly serial: string; readonly certificate: Buffer; readonly issuedAt: Date };
type WriteOf<Kind extends CertificateWrite['kind']> = Extract<CertificateWrite, { kind: Kind }>;

/**
 * One transaction of at most four statements, however many rows it writes.
 * @returns for each write whether it happened: the serial was free, the row was in the state it must be in
 */
export function* certificateSteps(isPostgres: boolean, writes: readonly CertificateWrite[]): Steps<boolean[]> {
  const done = {
    reserve: yield* reserveSteps(isPostgres, ofKind(writes, 'reserve')),
    commit: yield* serialsOf(commitStatement(isPostgres, ofKind(writes, 'commit'))),
    complete: yield* serialsOf(completeStatement(isPostgres, ofKind(writes, 'complete'))),
  };
  // A serial that is written twice in one group is written once.
  return writes.map(({ kind, serial }) => done[kind].delete(serial));
}

function ofKind<Kind extends CertificateWrite['kind']>(
  writes: readonly CertificateWrite[],
  kind: Kind,
): WriteOf<Kind>[] {
  return writes.filter((write): write is WriteOf<Kind> => write.kind === kind);
}

function* serialsOf(statement: Statement | undefined): Steps<Set<string>> {
  if (statement === undefined) return new Set();
  return new Set((yield statement).map(({ serial }) => String(serial)));
}

/** A row and its names: whoever finds a name finds its certificate. */
function* reserveSteps(isPostgres: boolean, reservations: readonly SearchableReservation[]): Steps<Set<string>> {
  const reserved = yield* serialsOf(reserveStatement(isPostgres, reservations));
  const names = reservations
    .filter(({ serial }) => reserved.has(serial))
    .flatMap(({ serial, reservedAt, searchNames }) =>
      searchNames.map((value) => ({ value: value.slice(0, maximumName), reserved_at: reservedAt.getTime(), serial })),
    );
  if (names.length > 0) yield nameStatement(isPostgres, names);
  return reserved;
}

/** How much of a name is kept to be searched by. */
const maximumName = 512;

const reservationColumns = {
  serial: 'text',
  issuer_id: 'text',
  profile: 'text',
  profile_version: 'text',
  requester: 'text',
  subject_key_id: 'text',
  is_authority: 'smallint',
  not_before: 'bigint',
  not_after: 'bigint',
  reserved_at: 'bigint',
  ticket_expires_at: 'bigint',
  renews: 'text',
  idempotency_key: 'text',
  request_sha256: 'text',
} as const;
const written = Object.keys(reservationColumns) as (keyof typeof reservationColumns)[];
const inputColumns = { ...reservationColumns, spki_sha256: 'text' } as const;

function reserveStatement(isPostgres: boolean, reservations: readonly SearchableReservation[]): Statement | undefined {
  if (reservations.length === 0) return undefined;
  const rows = reservations.map((each) => ({
    serial: each.serial,
    issuer_id: each.issuerId,
    profile: each.profile,
    profile_version: each.profileVersion,
    requester: each.requester,
    subject_key_id: each.subjectKeyId,
    is_authority: each.isAuthority ? 1 : 0,
    not_before: each.notBefore.getTime(),
    not_after: each.notAfter.getTime(),
    reserved_at: each.reservedAt.getTime(),
    ticket_expires_at: each.ticketExpiresAt.getTime(),
    renews: each.renews ?? null,
    idempotency_key: each.idempotencyKey ?? null,
    request_sha256: each.requestSha256 ?? null,
    spki_sha256: each.spkiSha256,
  }));
  return sqlOfRows(
    isPostgres,
    inputColumns,
    rows,
    ({ value, from, returning }) => `INSERT INTO ca_certificate AS row (${written.join(', ')}, state)
     SELECT ${written.map(value).join(', ')}, 'reserved' ${from}
     WHERE NOT EXISTS (SELECT 1 FROM ca_compromised_key AS bad WHERE bad.spki_sha256 = ${value('spki_sha256')})
     ON CONFLICT DO NOTHING ${returning('serial')}`,
  );
}

const nameColumns = { value: 'text', reserved_at: 'bigint', serial: 'text' } as const;

function nameStatement(
  isPostgres: boolean,
  names: readonly Readonly<Record<keyof typeof nameColumns, Value>>[],
): Statement {
  return sqlOfRows(
    isPostgres,
    nameColumns,
    names,
    ({ value, from }) => `INSERT INTO ca_certificate_name (value, reserved_at, serial)
     SELECT ${value('value')}, ${value('reserved_at')}, ${value('serial')} ${from} WHERE true ON CONFLICT DO NOTHING`,
  );
}

const commitColumns = {
  serial: 'text',
  issuer_id: 'text',
  profile_version: 'text',
  requester: 'text',
  tbs: 'text',
  tbs_sha256: 'text',
  seal: 'text',
  moment: 'bigint',
} as const;

function commitStatement(isPostgres: boolean, tickets: readonly TicketRedemption[]): Statement | undefined {
  if (tickets.length === 0) return undefined;
  const rows = tickets.map((each) => ({
    serial: each.serial,
    issuer_id: each.issuerId,
    profile_version: each.profileVersion,
    requester: each.requester,
    tbs: each.tbs.toString('base64'),
    tbs_sha256: each.tbsSha256,
    seal: each.seal ?? null,
    moment: each.now.getTime(),
  }));
  return sqlOfRows(
    isPostgres,
    commitColumns,
    rows,
    ({ value, from, returning }) => `UPDATE ca_certificate AS row
     SET state = 'signing', tbs = ${value('tbs')}, tbs_sha256 = ${value('tbs_sha256')}, seal = ${value('seal')} ${from}
     WHERE row.serial = ${value('serial')} AND row.state = 'reserved' AND row.issuer_id = ${value('issuer_id')}
       AND row.profile_version = ${value('profile_version')} AND row.requester = ${value('requester')}
       AND row.ticket_expires_at > ${value('moment')}
     ${returning('serial')}`,
  );
}

function completeStatement(isPostgres: boolean, completions: readonly WriteOf<'complete'>[]): Statement | undefined {
  if (completions.length === 0) return undefined;
  const rows = completions.map(({ serial, certificate, issuedAt }) => ({
    serial,
    certificate: certificate.toString('base64'),
    issued_at: issuedAt.getTime(),
  }));
  return sqlOfRows(
    isPostgres,
    { serial: 'text', certificate: 'text', issued_at: 'bigint' } as const,
    rows,
    ({ value, from, returning }) => `UPDATE ca_certificate AS row
     SET state = 'issued', certificate = ${value('certificate')}, issued_at = ${value('issued_at')}, tbs = NULL ${from}
     WHERE row.serial = ${value('serial')} AND row.state = 'signing'
     ${returning('serial')}`,
  );
}
