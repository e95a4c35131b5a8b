/**
 * The operations that are done with a key millions of times, through our own addon (native/). For each it makes both calls,
 * e.g. C_SignInit and C_Sign, on a thread of its own, of which it starts as many as there are operations at once: as many as
 * there are sessions. So a slow or frozen token holds up nothing but the operations that are on it, and results that become
 * ready together arrive together. A token that computes on the agent's own processors (SoftHSM) is given at most as many
 * threads as there are of these, and half as many where it takes microseconds, since more only get in each other's way; until one hangs.
 */
import {
  type AddonCalls,
  addonFile,
  type GcmParameter,
  loadAddon,
  type PssParameter,
  resultFields,
  type Settled,
} from '../addon.js';

const functions = {
  sign: ['C_SignInit', 'C_Sign'],
  encrypt: ['C_EncryptInit', 'C_Encrypt'],
  decrypt: ['C_DecryptInit', 'C_Decrypt'],
} as const;
export type Operation = keyof typeof functions;

/** Numbered as in native/src/call.h. */
const operationNumbers: Readonly<Record<Operation, number>> = { sign: 0, encrypt: 1, decrypt: 2 };

/** A mechanism for data that is given whole. */
export interface OnePartMechanism {
  readonly mechanism: number;
  readonly parameter?: PssParameter | GcmParameter;
}

/** Reads an output that is wanted as it is. @returns a copy, which the caller owns */
export function copyOf(output: Buffer): Buffer {
  return Buffer.from(output);
}

/** What follows it is done when what happens together has happened; process.nextTick costs three times as much. */
const atOnce = Promise.resolve();

const resultsAtOnce = 64;
/** Most outputs are signatures and data keys. */
const outputBytesAtOnce = 32_768;

interface Pending {
  readonly operation: Operation;
  /** Given the output for as long as it runs; what it throws is the call's failure. */
  readonly settle: (output: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

/** Operations on the tokens of one module, which is opened with it and must be initialised before the first. */
export class TokenCalls {
  /** By ticket. */
  readonly #pending: (Pending | undefined)[] = [];
  /** Tickets of none that is pending: a Map in which every call came and went would be built anew every few calls. */
  readonly #free: number[] = [];
  readonly #results = new Float64Array(resultFields * resultsAtOnce);
  readonly #outputs = Buffer.alloc(outputBytesAtOnce);
  readonly #addon: AddonCalls;
  #isBeginning = false;

  /**
   * @param failure  the error for a return value other than CKR_OK
   * @throws {HsmError} ERR_HSM_MODULE_UNUSABLE when there is no addon for this platform
   */
  constructor(
    modulePath: string,
    private readonly failure: (returnValue: number, pkcs11Function: string) => Error,
  ) {
    this.#addon = new (loadAddon().TokenCalls)(modulePath, this.#results, this.#settle, this.#outputs);
  }

  /**
   * The addon's file, which is a PKCS#11 module to whoever loads it: its functions are those of the module that was opened
   * last. Some modules (p11-kit's client) are another instance to each that loads them, without the sessions of the first.
   */
  get library(): string {
    return addonFile();
  }

  /**
   * @param session  nothing else may be done with it until the result is there
   * @param outputBytes  room for the result, at most 1 MiB
   * @param read  makes the result of the output, which is wiped after it
   */
  make<T>(
    operation: Operation,
    session: Uint8Array,
    { mechanism, parameter }: OnePartMechanism,
    key: Uint8Array,
    data: Uint8Array,
    outputBytes: number,
    read: (output: Buffer) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const ticket = this.#free.at(-1) ?? this.#pending.length;
      this.#addon.add(ticket, operationNumbers[operation], session, key, mechanism, parameter, data, outputBytes);
      this.#free.pop();
      this.#pending[ticket] = { operation, settle: (output) => resolve(read(output)), reject };
      this.#beginSoon();
    });
  }

  /** Only when no call is under way: a thread may not outlive the module it is in. */
  close(): void {
    this.#addon.close();
  }

  /** Requests that arrived together begin together: threads are woken once for all of them. */
  #beginSoon(): void {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    void atOnce.then(this.#begin);
  }

  readonly #begin = (): void => {
    this.#isBeginning = false;
    this.#addon.begin();
  };

  readonly #settle: Settled = (count, outputs) => {
    const results = this.#results;
    let start = 0;
    for (let at = 0; at < count * resultFields; at += resultFields) {
      const ticket = results[at];
      const end = start + results[at + 3];
      const { operation, settle, reject } = this.#pending[ticket] as Pending;
      this.#pending[ticket] = undefined;
      this.#free.push(ticket);
      try {
        if (results[at + 1] !== 0) throw this.failure(results[at + 1], functions[operation][results[at + 2]]);
        settle(outputs.subarray(start, end));
      } catch (error) {
        reject(error);
      }
      start = end;
    }
    // Plaintext may be among them.
    outputs.fill(0, 0, start);
  };
}
