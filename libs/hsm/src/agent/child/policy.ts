import { HsmError } from '../../errors.js';
import { matchesLabel } from '../../key/label-pattern.js';
import type { PolicyOperation, PolicyRule } from '../protocol.js';

/**
 * What one client may do: key × operation × mechanism. The application that spawned the agent may use everything its own
 * token holds unless rules narrow it; any other client may use nothing that is not listed.
 */
export class Policy {
  static readonly unrestricted = new Policy(undefined);

  static allowing(rules: readonly PolicyRule[]): Policy {
    return new Policy(rules);
  }

  private constructor(private readonly rules: readonly PolicyRule[] | undefined) {}

  /**
   * @param mechanism  a signature scheme or wrapping algorithm, for the operations that have one
   * @param recipient  whom a key is exported to, as a fingerprint
   */
  allows(operation: PolicyOperation, label: string, mechanism?: string, recipient?: string): boolean {
    if (!this.rules) return true;
    return this.rules.some(
      (rule) =>
        rule.operations.includes(operation) &&
        matchesLabel(rule.label, label) &&
        isAmong(rule.mechanisms, mechanism) &&
        isAmong(rule.recipients, recipient),
    );
  }

  /** @throws {HsmError} ERR_HSM_POLICY_DENIED, naming the key only to a client that may do something with it */
  require(operation: PolicyOperation, label: string, mechanism?: string, recipient?: string): void {
    if (this.allows(operation, label, mechanism, recipient)) return;
    const how = mechanism === undefined ? operation : `${operation} with ${mechanism}`;
    const whom = recipient === undefined ? '' : ` to ${recipient}`;
    const isKnown = this.rules?.some((rule) => matchesLabel(rule.label, label)) === true;
    const key = isKnown ? `key "${label}"` : 'key of another label';
    throw new HsmError('ERR_HSM_POLICY_DENIED', `${key}: policy does not allow this client to ${how}${whom}`);
  }

  /** @throws {HsmError} ERR_HSM_POLICY_DENIED when there is no key at all with which the client may do that */
  requireOnAny(operation: PolicyOperation): void {
    if (this.rules?.some((rule) => rule.operations.includes(operation)) !== false) return;
    throw new HsmError('ERR_HSM_POLICY_DENIED', `policy does not allow this client to ${operation} any key`);
  }
}

/** A list that is not there, or a call that has no such thing, narrows nothing. */
function isAmong(listed: readonly string[] | undefined, value: string | undefined): boolean {
  return listed === undefined || value === undefined || listed.includes(value);
}
