import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Scope } from '@nest-hsm/ca';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import { Public, rememberCaller, RequiredScopes } from './access.decorators.js';
import { Authenticator } from './authenticator.js';

interface RouteRule {
  readonly isPublic: boolean;
  readonly scopes: readonly Scope[];
}

/** Nobody passes who is not known and has not the scope of the route, unless it is marked public. */
@Injectable()
export class AccessGuard implements CanActivate {
  readonly #rules = new Map<object, RouteRule>();

  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const { isPublic, scopes } = this.#ruleOf(context);
    if (isPublic) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = await this.authenticator.authenticate(request);
    if (!scopes.some((scope) => caller.scopes.has(scope)))
      throw new ApiError('ERR_API_FORBIDDEN', `${caller.requester}: want scope ${scopes.join(' or ')}, got none`);
    rememberCaller(request, caller);
    return true;
  }

  /** Read once: what a route wants is written at its handler, and stays. */
  #ruleOf(context: ExecutionContext): RouteRule {
    const handler = context.getHandler();
    let rule = this.#rules.get(handler);
    if (rule === undefined) {
      const targets = [handler, context.getClass()];
      const isPublic = this.reflector.getAllAndOverride(Public, targets) ?? false;
      rule = { isPublic, scopes: this.reflector.getAllAndOverride(RequiredScopes, targets) ?? [] };
      this.#rules.set(handler, rule);
    }
    return rule;
  }
}
