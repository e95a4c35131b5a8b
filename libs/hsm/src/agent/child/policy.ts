import { HsmError } from '../../errors.js';
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

  /** @param mechanism  a signature scheme or wrapping algorithm, for the operations that have one */
  allows(operation: PolicyOperation, label: string, mechanism?: string): boolean {
    if (!this.rules) return true;
    return this.rules.some(
      (rule) =>
        rule.operations.includes(operation) &&
        matchesLabel(rule.label, label) &&
        (mechanism === undefined || rule.mechanisms === undefined || rule.mechanisms.includes(mechanism)),
    );
  }

  /** @throws {HsmError} ERR_HSM_POLICY_DENIED */
  require(operation: PolicyOperation, label: string, mechanism?: string): void {
    if (this.allows(operation, label, mechanism)) return;
    const how = mechanism === undefined ? operation : `${operation} with ${mechanism}`;
    throw new HsmError('ERR_HSM_POLICY_DENIED', `key "${label}": policy does not allow this client to ${how}`);
  }
}

function matchesLabel(pattern: string, label: string): boolean {
  return pattern.endsWith('*') ? label.startsWith(pattern.slice(0, -1)) : label === pattern;
}
