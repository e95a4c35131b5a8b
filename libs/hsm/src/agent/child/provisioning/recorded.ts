import { AuditLog } from '../../../audit/audit-log.js';
import type { HsmError } from '../../../errors.js';
import type { ProvisioningRequest } from '../../../provisioning/protocol.js';
import { auditAlarm, type TokenSelector } from '../../protocol.js';
import { AuditTrail } from '../audit-trail.js';
import { Call } from '../call.js';

/** What changes a token, and is not only a look at it. */
export type TokenChange = Exclude<ProvisioningRequest, { verb: 'makePinFile' | 'inspect' | 'list' }>;

/**
 * Makes a change of a token, which is not begun before the intent is on the disk where the member has a trail. The chain is the
 * next one of the member that no agent holds.
 * @throws {HsmError} of `change`, or ERR_HSM_AUDIT_UNAVAILABLE
 */
export async function recorded<T extends object>(request: TokenChange, change: () => Promise<T>): Promise<T> {
  const { trail } = request;
  if (trail === undefined) return change();
  const log = await AuditLog.open(trail.settings, alarm);
  try {
    await log.opened({ client: trail.client, token: tokenOf(request), result: 'ok' });
    const operation = { operation: operationOf(request) };
    const permit = (): void => undefined;
    // Nobody who gave up waiting has it undone.
    const call = new Call(Infinity, '');
    return await new AuditTrail(log, trail.client).recordWithIntent(call, operation, permit, change);
  } finally {
    await log.close();
  }
}

function operationOf(request: TokenChange): string {
  switch (request.verb) {
    case 'initialise':
      return 'initialise-token';
    case 'setUserPin':
      return 'set-user-pin';
    case 'resetUserPin':
      return 'reset-user-pin';
    case 'revokeUser':
      return 'revoke-user';
    case 'changePin':
      return request.who === 'user' ? 'change-user-pin' : 'change-so-pin';
  }
}

/** As it is named; of one that is initialised the one that is given up. */
function tokenOf(request: TokenChange): Partial<TokenSelector> {
  if (request.verb !== 'initialise') return request.token;
  return request.replaces ?? { label: request.label };
}

function alarm({ message }: HsmError): void {
  process.stderr.write(`${auditAlarm}${message}\n`);
}
