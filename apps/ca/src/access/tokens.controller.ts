import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post } from '@nestjs/common';
import {
  ApiBody,
  ApiCreatedResponse,
  ApiDefaultResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiTags,
} from '@nestjs/swagger';
import { ApiTokens, type ApiTokenView, scopes } from '@nest-hsm/ca';
import { z } from 'zod';
import { readJson } from '../problem/json-body.js';
import { ProblemDto } from '../problem/problem.dto.js';
import { Caller, Requires } from './access.decorators.js';
import type { Principal } from './principal.js';
import { CreatedTokenDto, CreateTokenDto, type TokenDto, TokenListDto } from './token.dto.js';

const defaultMilliseconds = 90 * 86_400_000;
const createBody = z.strictObject({
  name: z.string().max(64),
  scopes: z.array(z.enum(scopes)).min(1).max(scopes.length),
  profiles: z.array(z.string().max(64)).min(1).max(100).optional(),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});

/** API tokens. Whoever may make them may give what they do not have themselves. */
@ApiTags('tokens')
@ApiDefaultResponse({ type: ProblemDto, description: 'A problem document (application/problem+json)' })
@Requires('admin:tokens')
@Controller('v1/tokens')
export class TokensController {
  constructor(private readonly tokens: ApiTokens) {}

  /** Makes an API token, and says it this once. */
  @Post()
  @HttpCode(201)
  @Header('cache-control', 'no-store')
  @ApiBody({ type: CreateTokenDto })
  @ApiCreatedResponse({ type: CreatedTokenDto })
  async create(@Body() body: unknown, @Caller() caller: Principal): Promise<CreatedTokenDto> {
    const { expiresAt, ...asked } = readJson(createBody, body, '{ name, scopes, profiles, expiresAt }');
    const end = expiresAt === undefined ? new Date(Date.now() + defaultMilliseconds) : new Date(expiresAt);
    const { token, ...view } = await this.tokens.create({ ...asked, expiresAt: end, createdBy: caller.requester });
    return { ...represent(view), token };
  }

  /** Every API token that was made, without the tokens themselves. */
  @Get()
  @Header('cache-control', 'no-store')
  @ApiOkResponse({ type: TokenListDto })
  async list(): Promise<TokenListDto> {
    return { tokens: (await this.tokens.list()).map(represent) };
  }

  /** Ends an API token at once. */
  @Delete(':id')
  @HttpCode(204)
  @ApiNoContentResponse()
  async revoke(@Param('id') id: string): Promise<void> {
    await this.tokens.revoke(id);
  }
}

function represent({ createdAt, expiresAt, revokedAt, scopes, profiles, ...rest }: ApiTokenView): TokenDto {
  return {
    ...rest,
    scopes: [...scopes],
    ...(profiles !== undefined && { profiles: [...profiles] }),
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    ...(revokedAt !== undefined && { revokedAt: revokedAt.toISOString() }),
  };
}
