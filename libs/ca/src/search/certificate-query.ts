import { createHash } from 'node:crypto';
import { z } from 'zod';
import { CaError } from '../errors.js';
import { type GeneralName, generalName, nameKinds } from '../name/general-name.js';
import { searchCommonName, searchName } from './search-names.js';

/** What a certificate's status is now; `held` may still be released. */
export const issuedStatuses = ['valid', 'expired', 'revoked', 'held'] as const;
export type IssuedStatus = (typeof issuedStatuses)[number];

/** Most certificates of one page. */
export const maximumPage = 500;
const defaultPage = 100;

const word = z.string().min(1).max(512);
const certificateQuerySchema = z.strictObject({
  /** commonName of the subject, in any case. */
  commonName: word.optional(),
  /** A name of SubjectAltName: `dns:www.example.test`, `ip:10.0.0.1`, `email:…`, `uri:…`. */
  name: word.optional(),
  /** How the serial begins: 4 to 40 hexadecimal digits, in any case. */
  serial: z
    .string()
    .regex(/^[0-9a-f]{4,40}$/i, 'want 4 to 40 hexadecimal digits')
    .optional(),
  profile: word.optional(),
  /** As the edge writes it: `client:NAME`, `token:NAME`, `oidc:PROVIDER:SUBJECT`. */
  requester: word.optional(),
  status: z.enum(issuedStatuses).optional(),
  /** Expires then or later. */
  notAfterFrom: z.date().optional(),
  /** Expires before. */
  notAfterTo: z.date().optional(),
  limit: z.int().min(1).max(maximumPage).default(defaultPage),
  /** `next` of the page before, with everything else as it was. */
  cursor: z.string().max(1024).optional(),
});
export type CertificateQuery = z.input<typeof certificateQuerySchema>;

/**
 * The order of the rows, and what the index is entered by: the newest first; by serial where that is given, and of what is revoked or
 * held; by expiry, the soonest first, where a window of it is given, or what is expired, and nothing narrower.
 */
export type SearchOrder = 'newest' | 'serial' | 'expiry';

/** Where a page ends. */
export interface Position {
  /** Milliseconds since 1970: when it was reserved, or when it expires; 0 in the order of serials. */
  readonly at: number;
  readonly serial: string;
}

/** A query as the store takes it. */
export interface ParsedQuery {
  readonly order: SearchOrder;
  /** All of these: values of `searchNames`. */
  readonly names: readonly string[];
  readonly serialPrefix?: string;
  readonly profile?: string;
  readonly requester?: string;
  readonly status?: IssuedStatus;
  readonly notAfterFrom?: Date;
  readonly notAfterTo?: Date;
  readonly limit: number;
  readonly after?: Position;
  /** SHA-256 of the conditions, which a cursor carries. */
  readonly digest: string;
}

/** @throws {CaError} ERR_CA_QUERY_INVALID listing all faults together */
export function parseQuery(query: CertificateQuery): ParsedQuery {
  const parsed = certificateQuerySchema.safeParse(query);
  if (!parsed.success) throw new CaError('ERR_CA_QUERY_INVALID', `search: ${z.prettifyError(parsed.error)}`);
  const { commonName, name, serial, cursor, limit, ...rest } = parsed.data;
  const names = [
    ...(commonName === undefined ? [] : [searchCommonName(commonName)]),
    ...(name === undefined ? [] : [searchName(parseName(name))]),
  ];
  const isWindow = rest.notAfterFrom !== undefined || rest.notAfterTo !== undefined || rest.status === 'expired';
  const isOfRevocations = rest.status === 'revoked' || rest.status === 'held';
  const order =
    serial !== undefined || (names.length === 0 && isOfRevocations)
      ? 'serial'
      : names.length === 0 && isWindow
        ? 'expiry'
        : 'newest';
  const serialPrefix = serial?.toLowerCase();
  const digest = createHash('sha256')
    .update(JSON.stringify([names, serialPrefix, rest]))
    .digest('base64url')
    .slice(0, 22);
  return {
    ...rest,
    order,
    names,
    serialPrefix,
    limit,
    digest,
    after: cursor === undefined ? undefined : readCursor(cursor, digest),
  };
}

const cursorSchema = z.tuple([z.string(), z.int(), z.string().regex(/^[0-9a-f]{1,40}$/)]);

/** Nothing in it is secret, and whoever changes it reads no more than the query gives them. */
export function writeCursor({ digest }: ParsedQuery, { at, serial }: Position): string {
  return Buffer.from(JSON.stringify([digest, at, serial])).toString('base64url');
}

function readCursor(text: string, digest: string): Position {
  try {
    const [of, at, serial] = cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    if (of === digest) return { at, serial };
  } catch {
    // Refused below.
  }
  throw new CaError(
    'ERR_CA_QUERY_INVALID',
    'search: want the cursor of the page before, and the same conditions as there',
  );
}

function parseName(text: string): GeneralName {
  const [, type, value] = /^([a-z]+):(.+)$/.exec(text) ?? [];
  const kind = nameKinds.find((each) => each === type);
  try {
    if (kind !== undefined) return generalName(kind, value);
  } catch (error) {
    throw new CaError('ERR_CA_QUERY_INVALID', `search: ${(error as Error).message}`, { cause: error });
  }
  throw new CaError(
    'ERR_CA_QUERY_INVALID',
    `search: want a name as ${nameKinds.map((each) => `${each}:…`).join(', ')}, got ${JSON.stringify(text.slice(0, 64))}`,
  );
}
