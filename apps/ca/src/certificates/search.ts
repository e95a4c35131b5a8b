import { applyDecorators } from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';
import { type CertificatePage, type CertificateQuery, issuedStatuses, maximumPage } from '@nest-hsm/ca';
import { z } from 'zod';
import { ApiError } from '../problem/api-error.js';
import { faultsIn } from '../problem/json-body.js';
import type { CertificatePageDto } from './search.dto.js';

const moment = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const text = z.string();
const parameters = z.strictObject({
  commonName: text.describe('commonName of the subject, in any case'),
  name: text.describe('a name of SubjectAltName: `dns:www.example.test`, `ip:…`, `email:…`, `uri:…`'),
  serial: text.describe('how the serial begins, 4 hexadecimal digits or more'),
  profile: text.describe('the profile it was issued under'),
  requester: text.describe('who asked for it: `client:NAME`, `token:NAME`, `oidc:PROVIDER:SUBJECT`'),
  status: z.enum(issuedStatuses).describe(issuedStatuses.join(', ')),
  notAfterFrom: moment.describe('RFC 3339: expires then or later'),
  notAfterTo: moment.describe('RFC 3339: expires before'),
  limit: z.coerce.number().int().describe(`1 to ${maximumPage}, 100 when it is absent`),
  cursor: text.describe('`next` of the page before, with everything else as it was'),
});
const query = parameters.partial();

/** What the API page says of each parameter. */
export function searchParameters(): MethodDecorator {
  const all = Object.entries(parameters.shape).map(([name, { description }]) =>
    ApiQuery({ name, required: false, description, schema: { type: name === 'limit' ? 'integer' : 'string' } }),
  );
  return applyDecorators(...all);
}

/** @throws {ApiError} ERR_API_REQUEST_INVALID listing all faults together */
export function readQuery(asked: unknown): CertificateQuery {
  const parsed = query.safeParse(asked);
  if (parsed.success) return parsed.data;
  throw new ApiError('ERR_API_REQUEST_INVALID', `search: ${faultsIn(parsed.error)}`);
}

export function representPage({ certificates, next }: CertificatePage): CertificatePageDto {
  const represented = certificates.map(({ issuerId, names, notBefore, notAfter, issuedAt, revocation, ...rest }) => ({
    ...rest,
    issuer: issuerId,
    names: [...names],
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    issuedAt: issuedAt.toISOString(),
    ...(revocation !== undefined && {
      revocation: { reason: revocation.reason, revokedAt: revocation.revokedAt.toISOString() },
    }),
  }));
  return { certificates: represented, ...(next !== undefined && { next }) };
}
