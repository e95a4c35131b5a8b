import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import { Public, rememberCaller, RequiredScopes } from './access.decorators.js';
import { Authenticator } from './authenticator.js';

/** Nobody passes who is not known and has not the scope of the route, unless it is marked public. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride(Public, targets)) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = await this.authenticator.authenticate(request);
    const scopes = this.reflector.getAllAndOverride(RequiredScopes, targets) ?? [];
    if (!scopes.some((scope) => caller.scopes.has(scope)))
      throw new ApiError('ERR_API_FORBIDDEN', `${caller.requester}: want scope ${scopes.join(' or ')}, got none`);
    rememberCaller(request, caller);
    return true;
  }
}
