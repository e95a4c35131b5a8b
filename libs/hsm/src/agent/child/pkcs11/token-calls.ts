/**
 * The operations that are done with a key millions of times, through our own addon (native/). For each it makes both calls,
 * e.g. C_SignInit and C_Sign, on a thread of its own, of which it starts as many as there are operations at once: as many as
 * there are sessions. So a slow or frozen token holds up nothing but the operations that are on it, and results that become
 * ready together arrive together.
 */
import { fileURLToPath } from 'node:url';
import nodeGypBuild from 'node-gyp-build';
import { HsmError } from '../../../errors.js';

const functions = {
  sign: ['C_SignInit', 'C_Sign'],
  encrypt: ['C_EncryptInit', 'C_Encrypt'],
  decrypt: ['C_DecryptInit', 'C_Decrypt'],
} as const;
export type Operation = keyof typeof functions;

/** Numbered as in native/src/call.h. */
const operationNumbers: Readonly<Record<Operation, number>> = { sign: 0, encrypt: 1, decrypt: 2 };

/** CK_RSA_PKCS_PSS_PARAMS. */
export interface PssParameter {
  readonly hashAlg: number;
  readonly mgf: number;
  readonly saltBytes: number;
}

/** CK_GCM_PARAMS. */
export interface GcmParameter {
  /** Empty where the token draws it. */
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly tagBits: number;
}

/** A mechanism for data that is given whole. */
export interface OnePartMechanism {
  readonly mechanism: number;
  readonly parameter?: PssParameter | GcmParameter;
}

/** The face of `native/src/binding.cc`. Handles are the bytes of a CK_ULONG. */
interface Addon {
  readonly TokenCalls: new (modulePath: string, settled: Settled) => AddonCalls;
}

interface AddonCalls {
  /** Copies its arguments. The result arrives in `settled` under the same ticket. */
  start(
    ticket: number,
    operation: number,
    session: Uint8Array,
    key: Uint8Array,
    mechanism: number,
    parameter: PssParameter | GcmParameter | undefined,
    data: Uint8Array,
    outputBytes: number,
  ): void;
  /** @throws while a call is under way */
  close(): void;
}

/** @param stage  which of the operation's two functions returned the value */
type Settled = (ticket: number, returnValue: number, stage: number, output: Buffer) => void;

interface Pending {
  readonly operation: Operation;
  readonly resolve: (output: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Operations on the tokens of one module, which is loaded and initialised. */
export class TokenCalls {
  readonly #pending = new Map<number, Pending>();
  readonly #addon: AddonCalls;
  #ticket = 0;

  /**
   * @param failure  the error for a return value other than CKR_OK
   * @throws {HsmError} ERR_HSM_MODULE_UNUSABLE when there is no addon for this platform
   */
  constructor(
    modulePath: string,
    private readonly failure: (returnValue: number, pkcs11Function: string) => Error,
  ) {
    this.#addon = new (loadAddon().TokenCalls)(modulePath, this.#settle);
  }

  /**
   * @param session  nothing else may be done with it until the result is there
   * @param outputBytes  room for the result
   * @returns bytes of its own
   */
  make(
    operation: Operation,
    session: Uint8Array,
    { mechanism, parameter }: OnePartMechanism,
    key: Uint8Array,
    data: Uint8Array,
    outputBytes: number,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const ticket = this.#nextTicket();
      this.#addon.start(ticket, operationNumbers[operation], session, key, mechanism, parameter, data, outputBytes);
      this.#pending.set(ticket, { operation, resolve, reject });
    });
  }

  /** Only when no call is under way: a thread may not outlive the module it is in. */
  close(): void {
    this.#addon.close();
  }

  readonly #settle: Settled = (ticket, returnValue, stage, output) => {
    const { operation, resolve, reject } = this.#pending.get(ticket) as Pending;
    this.#pending.delete(ticket);
    if (returnValue === 0) resolve(output);
    else reject(this.failure(returnValue, functions[operation][stage]));
  };

  #nextTicket(): number {
    do this.#ticket = (this.#ticket + 1) >>> 0;
    while (this.#pending.has(this.#ticket));
    return this.#ticket;
  }
}

let loaded: Addon | undefined;

function loadAddon(): Addon {
  try {
    // The package's root, from src as from dist.
    return (loaded ??= nodeGypBuild(fileURLToPath(new URL('../../../..', import.meta.url))) as Addon);
  } catch (cause) {
    const { platform, arch, versions } = process;
    throw new HsmError(
      'ERR_HSM_MODULE_UNUSABLE',
      `HSM addon: want a binary for ${platform} ${arch} that Node.js ${versions.node} loads, got none ` +
        `(in a clone of the repository: node scripts/build-native.mjs): ${(cause as Error).message.split('\n')[0]}`,
      { cause },
    );
  }
}
