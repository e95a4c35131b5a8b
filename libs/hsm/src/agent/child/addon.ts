/** What of the agent is native (native/): calls to the token on threads of their own, and what ends an agent that is blocked. */
import { fileURLToPath } from 'node:url';
import nodeGypBuild from 'node-gyp-build';
import { HsmError } from '../../errors.js';

/** The face of `native/src/binding.cc`. Handles are the bytes of a CK_ULONG. */
interface Addon {
  readonly TokenCalls: new (
    modulePath: string,
    results: Float64Array,
    settled: Settled,
    outputs: Uint8Array,
  ) => AddonCalls;
  /** @throws when there is no thread left */
  watchApplication(pid: number): void;
  interruptNobody(): void;
}

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

export interface AddonCalls {
  /** Copies its arguments. The call is made after `begin`, its result has the same ticket. */
  add(
    ticket: number,
    operation: number,
    session: Uint8Array,
    key: Uint8Array,
    mechanism: number,
    parameter: PssParameter | GcmParameter | undefined,
    data: Uint8Array,
    outputBytes: number,
  ): void;
  begin(): void;
  /** @throws while a call is under way */
  close(): void;
}

/** Numbers in `results` for each call that is done: ticket, return value, which of the operation's two functions returned it, length of its output. */
export const resultFields = 4;

/**
 * So many calls are done.
 * @param outputs  their outputs, one after the other: in what the addon was given for them, or in a buffer of their own where that
 * has no room
 */
export type Settled = (count: number, outputs: Buffer) => void;

/** The package's root, from src as from dist. */
const packageDirectory = fileURLToPath(new URL('../../..', import.meta.url));

let loaded: Addon | undefined;

/** @throws {HsmError} ERR_HSM_MODULE_UNUSABLE when there is none for this platform */
export function loadAddon(): Addon {
  try {
    return (loaded ??= nodeGypBuild(packageDirectory) as Addon);
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

/** Its file, which is a PKCS#11 module to whoever loads it: its functions are those of the module that was opened last. */
export function addonFile(): string {
  return nodeGypBuild.path(packageDirectory);
}

/**
 * An agent ends by itself when its application is gone, unless a frozen HSM blocks its event loop in a call without an
 * asynchronous form; then nothing but a thread of the addon notices. To be called before the first call to a token.
 * @param pid  of the application, as that gave it: whoever is the parent by now may be another already
 * @throws {HsmError} ERR_HSM_MODULE_UNUSABLE | ERR_HSM_UNAVAILABLE when the system has no thread left
 */
export function endWithApplication(pid: number): void {
  const addon = loadAddon();
  try {
    addon.watchApplication(pid);
  } catch (cause) {
    throw new HsmError('ERR_HSM_UNAVAILABLE', 'agent: the system has no thread left', { retryable: true, cause });
  }
}

/**
 * On Linux the agent interrupts nobody by waking up: it has its share of the processors, but begins when one is free, or its thread waits
 * or has had its slice. Else each request and each signature would interrupt the application, and both change places for a few
 * microseconds' work. To be called before there are threads that call the token, which take it over.
 * @throws {HsmError} ERR_HSM_MODULE_UNUSABLE
 */
export function interruptNobody(): void {
  loadAddon().interruptNobody();
}
