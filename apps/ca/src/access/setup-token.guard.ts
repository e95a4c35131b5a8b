import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import { SetupToken } from './setup-token.js';

/** Marks what anybody may read: what relying parties fetch, and what monitoring asks. */
export const Public = Reflector.createDecorator<true>({ transform: () => true });

/** Every route wants `Authorization: Bearer` with the set-up token (RFC 6750 §2.1), unless it is marked public. */
@Injectable()
export class SetupTokenGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly setupToken: SetupToken,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.reflector.getAllAndOverride(Public, [context.getHandler(), context.getClass()])) return true;
    const { authorization = '' } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    const [, token = ''] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    if (this.setupToken.matches(token)) return true;
    throw new ApiError(
      'ERR_API_UNAUTHENTICATED',
      'Authorization: want Bearer with the set-up token, got none or another',
    );
  }
}
