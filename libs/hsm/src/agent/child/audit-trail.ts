import type { AuditLog } from '../../audit/audit-log.js';
import type { CallFacts } from '../../audit/record-fields.js';
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
  /** `seq` of the record that says that it is about to be done. */
  intent?: number;
  /** When that was, on the clock of performance.now(). */
  intendedAt?: number;
}

/** Writes one client's operations to the agent's chain, if there is one. */
export class AuditTrail {
  constructor(
    private readonly log: AuditLog | undefined,
    private readonly client: string,
  ) {}

  /** Does `work` and records its outcome. @throws {HsmError} of `work`, or ERR_HSM_AUDIT_UNAVAILABLE */
  record<T extends object>(call: Call, operation: Operation, work: (operation: Operation) => Promise<T>): Promise<T> {
    return this.log === undefined ? work(operation) : this.#recorded(this.log, call, operation, work);
  }

  async #recorded<T extends object>(
    log: AuditLog,
    call: Call,
    operation: Operation,
    work: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    const started = performance.now();
    let answer: T;
    try {
      log.requireWritable();
      answer = await work(operation);
    } catch (error) {
      const { code, returnValue } =
        error instanceof HsmError ? error : { code: 'ERR_HSM_PROTOCOL', returnValue: undefined };
      // Nothing is held back for it.
      this.#result(call, operation, started, code, returnValue)?.catch(() => undefined);
      throw error;
    }
    const written = this.#result(call, operation, started, 'ok');
    return written === undefined ? answer : released(answer, written);
  }

  /**
   * The same for key management, which is not begun before its intent is on the disk.
   * @param permit  throws to refuse it, which costs no write to the disk
   * @throws {HsmError} of `permit` or `work`, or ERR_HSM_AUDIT_UNAVAILABLE
   */
  recordWithIntent<T extends object>(
    call: Call,
    operation: Operation,
    permit: (operation: Operation) => Promise<void> | void,
    work: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    return this.record(call, operation, async () => {
      await permit(operation);
      await this.intend(call, operation);
      return work(operation);
    });
  }

  /** Whether the use of a key, whose label is known by now, is to be on the disk before it is made and is not yet. */
  isToBeIntended({ label, intent }: Operation): boolean {
    return this.log !== undefined && intent === undefined && label !== undefined && this.log.isIssuerKey(label);
  }

  /**
   * Records what is about to be done; when it returns, that is on the disk, and its caller still waits.
   * @param digest  of what is signed
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE | ERR_HSM_TIMEOUT | ERR_HSM_ABORTED
   */
  async intend(call: Call, operation: Operation, digest?: () => Buffer): Promise<void> {
    if (!this.log) return;
    operation.digest = digest?.();
    operation.intendedAt = performance.now();
    operation.intent = await this.log.intent(this.#facts(call, operation));
    call.throwIfOver();
  }

  /** A try of what was intended failed, and another follows: that one is intended, and recorded, like any other. */
  triedInVain(call: Call, operation: Operation, { code, returnValue }: HsmError): void {
    const { intent, intendedAt } = operation;
    if (intent === undefined || intendedAt === undefined) return;
    this.#result(call, operation, intendedAt, code, returnValue)?.catch(() => undefined);
    operation.intent = undefined;
  }

  #result(
    call: Call,
    operation: Operation,
    started: number,
    result: string,
    returnValue?: string,
  ): Promise<void> | undefined {
    const durationMicroseconds = Math.round((performance.now() - started) * 1000);
    const { intent } = operation;
    return this.log?.result(this.#facts(call, operation), { result, returnValue, intent, durationMicroseconds });
  }

  #facts({ correlationId, attempt }: Call, operation: Operation): CallFacts {
    const { keyId, label, mechanism, digest, recipients } = operation;
    const { client } = this;
    return {
      client,
      operation: operation.operation,
      keyId,
      label,
      mechanism,
      digest,
      recipients,
      correlationId,
      attempt,
    };
  }
}

/** The answer, once it is recorded. */
async function released<T extends object>(answer: T, written: Promise<void>): Promise<T> {
  try {
    await written;
    return answer;
  } catch (error) {
    // Nobody will have it: plaintext, a signature.
    for (const value of Object.values(answer)) if (Buffer.isBuffer(value)) value.fill(0);
    throw error;
  }
}
