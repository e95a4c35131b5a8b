import { Body, Controller, Delete, Get, Header, HttpCode, Param, Put } from '@nestjs/common';
import { ApiBody, ApiDefaultResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CertificateAuthority, requestableReasons, type Revoked, type RevokeKeyOptions } from '@nest-hsm/ca';
import { z } from 'zod';
import { Caller, Requires } from '../access/access.decorators.js';
import type { Principal } from '../access/principal.js';
import { readJson } from '../problem/json-body.js';
import { ProblemDto } from '../problem/problem.dto.js';
import { RevocationRequestDto, StatusDto } from './revocation.dto.js';

const revocation = z.strictObject({
  reason: z.enum(requestableReasons).optional(),
  invalidityDate: z.iso.datetime({ offset: true }).transform((text) => new Date(text)).optional(), // prettier-ignore
  sameKey: z.boolean().optional(),
});

/** The status of a certificate: revoked once and for all, or on hold until it is released. */
@ApiTags('revocation')
@ApiDefaultResponse({ type: ProblemDto, description: 'A problem document (application/problem+json)' })
@Controller('v1/certificates/:serial/revocation')
export class RevocationController {
  constructor(private readonly authority: CertificateAuthority) {}

  /**
   * Revokes a certificate, or puts it on hold. Asked for again, it changes nothing, but that it goes on with others of a key that was
   * compromised.
   */
  @Put()
  @HttpCode(200)
  @Requires('certificates:revoke')
  @ApiBody({ type: RevocationRequestDto, required: false })
  @ApiOkResponse({ type: StatusDto })
  async revoke(
    @Param('serial') serial: string,
    @Body() body: unknown,
    @Caller() caller: Principal,
  ): Promise<StatusDto> {
    const options = readJson(revocation, body ?? {}, '{ reason, invalidityDate, sameKey }, or nothing');
    return represent(
      serial,
      await this.authority.status.revoke(serial, {
        ...options,
        ...revoker(caller),
      }),
    );
  }

  /** Releases a certificate that is on hold. */
  @Delete()
  @Requires('certificates:revoke')
  @ApiOkResponse({ type: StatusDto })
  async release(@Param('serial') serial: string, @Caller() caller: Principal): Promise<StatusDto> {
    return represent(serial, await this.authority.status.release(serial, revoker(caller)));
  }

  /** The status of a certificate. */
  @Get()
  @Requires('certificates:read', 'certificates:revoke')
  @Header('cache-control', 'no-store')
  @ApiOkResponse({ type: StatusDto })
  async find(@Param('serial') serial: string): Promise<StatusDto> {
    return represent(serial, await this.authority.status.find(serial));
  }
}

function revoker({ requester, profiles }: Principal): Pick<RevokeKeyOptions, 'requester' | 'profiles'> {
  return { requester, profiles: profiles.get('certificates:revoke') };
}

function represent(serial: string, record: Revoked | undefined): StatusDto {
  if (record === undefined || record.state === 'released') return { serial: serial.toLowerCase(), status: 'good' };
  const { state: status, reason, revokedAt, invalidityDate, sameKey } = record;
  return {
    serial: record.serial,
    status,
    reason,
    revokedAt: revokedAt.toISOString(),
    ...(invalidityDate !== undefined && { invalidityDate: invalidityDate.toISOString() }),
    ...(sameKey !== undefined && { sameKey: { ...sameKey, revoked: [...sameKey.revoked] } }),
  };
}
