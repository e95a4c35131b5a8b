import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiForbiddenResponse, ApiSecurity, ApiUnauthorizedResponse } from '@nestjs/swagger';
import type { Scope } from '@nest-hsm/ca';
import type { FastifyRequest } from 'fastify';
import { ProblemDto } from '../problem/problem.dto.js';
import type { Principal } from './principal.js';

/** Marks what anybody may read: what relying parties fetch, and what monitoring asks. */
export const Public = Reflector.createDecorator<true>({ transform: () => true });

/** The scopes one of which a route wants. A route that is neither public nor names any is refused to everybody. */
export const RequiredScopes = Reflector.createDecorator<readonly Scope[]>();

/** The scopes one of which a route wants, and what the API page says about it. */
export function Requires(...scopes: readonly Scope[]): MethodDecorator & ClassDecorator {
  return applyDecorators(
    RequiredScopes(scopes),
    ...['bearer', 'mutualTLS'].flatMap((scheme) => scopes.map((scope) => ApiSecurity(scheme, [scope]))),
    ApiUnauthorizedResponse({ type: ProblemDto, description: 'No credential, or one that is not known' }),
    ApiForbiddenResponse({ type: ProblemDto, description: `Wants scope ${scopes.join(' or ')}` }),
  );
}

const principals = new WeakMap<FastifyRequest, Principal>();

/** Called by the guard alone. */
export function rememberCaller(request: FastifyRequest, caller: Principal): void {
  principals.set(request, caller);
}

/** Parameter of a handler whose route is not public: who calls. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const caller = principals.get(context.switchToHttp().getRequest<FastifyRequest>());
  if (caller === undefined) throw new TypeError('@Caller: want a route that requires a scope, got a public one');
  return caller;
});
