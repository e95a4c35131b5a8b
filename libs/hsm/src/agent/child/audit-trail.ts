import type { AuditEvent } from '../../audit/audit-event.js';
import type { AuditWriter } from '../../audit/audit-writer.js';
import { HsmError } from '../../errors.js';
import type { KeyId } from '../../key/key.js';
import type { Call } from './call.js';

/** What is being done; `label` and `digest` become known on the way. */
export interface Operation {
  readonly operation: string;
  readonly keyId?: KeyId;
  readonly mechanism?: string;
  readonly recipients?: readonly string[];
  label?: string;
  digest?: Buffer;
}

/** Writes one client's operations to the agent's audit file, if there is one. */
export class AuditTrail {
  constructor(
    private readonly writer: AuditWriter | undefined,
    private readonly client: string,
    private readonly token: string,
  ) {}

  /** Does `work` and records its outcome. */
  async record<T>(call: Call, operation: Operation, work: (operation: Operation) => Promise<T>): Promise<T> {
    if (!this.writer) return work(operation);
    const started = performance.now();
    try {
      const result = await work(operation);
      this.#write(call, operation, started, { result: 'ok' });
      return result;
    } catch (error) {
      const { code, returnValue } =
        error instanceof HsmError ? error : { code: 'ERR_HSM_PROTOCOL', returnValue: undefined };
      this.#write(call, operation, started, { result: code, returnValue });
      throw error;
    }
  }

  /**
   * The same for key management, which is not begun before its intent is on the disk.
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE
   */
  async recordWithIntent<T>(call: Call, operation: Operation, work: (operation: Operation) => Promise<T>): Promise<T> {
    if (this.writer) await this.writer.recordDurably(this.#event('intent', call, operation));
    return this.record(call, operation, work);
  }

  #write(call: Call, operation: Operation, started: number, outcome: Pick<AuditEvent, 'result' | 'returnValue'>): void {
    const durationMicroseconds = Math.round((performance.now() - started) * 1000);
    this.writer?.record({ ...this.#event('result', call, operation), ...outcome, durationMicroseconds });
  }

  #event(kind: AuditEvent['kind'], call: Call, operation: Operation): AuditEvent {
    const { keyId, mechanism, label, digest, recipients } = operation;
    return {
      time: new Date().toISOString(),
      kind,
      client: this.client,
      operation: operation.operation,
      token: this.token,
      key: keyId && { id: keyId, label },
      mechanism,
      recipients,
      digest: digest?.toString('hex'),
      correlationId: call.correlationId || undefined,
    };
  }
}
