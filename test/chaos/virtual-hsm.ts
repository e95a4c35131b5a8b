import { randomUUID } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { HsmConfig, HsmTokenMemberConfig } from '@nest-hsm/hsm';
import { childrenOf, environmentOf } from '../support/processes.js';
import { type Overrides, softHsmModule, TestToken } from '../support/token.js';
import { actions, ControlFile, forever, type SteerableFunction, steerableFunctions } from './control-file.js';
import { type ReturnValue, returnValues } from './return-values.js';
import { buildShim } from './shim.js';

/** When a fault starts and how often it strikes, counted over all processes that use the device. */
export interface Strikes {
  /** Calls of the function that still pass. Default 0. */
  readonly after?: number;
  /** Calls of the function that are struck. Default: all, until `heal`. */
  readonly times?: number;
}

/**
 * A SoftHSM token behind a PKCS#11 module that misbehaves when told to, in agents that are already running as in ones
 * started later. It works only on a throw-away token that it made itself: the shim refuses a control file that is not beside the token's
 * configuration (SOFTHSM2_CONF), and `ControlFile` makes none where one is.
 *
 * A function has at most one fault at a time (fail, freeze, corrupt or crash); delay and throttle come on top.
 */
export class VirtualHsm {
  readonly module = buildShim();
  readonly #control: ControlFile;

  readonly token: TestToken;
  readonly #isOwner: boolean;

  /** @param token  a label for a token of its own, or another device's token: then both hold the same keys at any time */
  constructor(token: string | VirtualHsm) {
    this.#isOwner = typeof token === 'string';
    this.token = typeof token === 'string' ? new TestToken(token) : token.token;
    this.#control = new ControlFile(join(this.token.directory, `control-${randomUUID()}`));
  }

  /** The variables that the shim and SoftHSM need in the process that loads them. */
  get moduleEnvironment(): Record<string, string> {
    return {
      SOFTHSM2_CONF: this.token.softHsmConf,
      NEST_HSM_CHAOS_MODULE: softHsmModule(),
      NEST_HSM_CHAOS_CONTROL: this.#control.path,
    };
  }

  /** What `Hsm.open` takes to use this device. */
  config(overrides: Overrides = {}): HsmConfig {
    return this.token.config({ module: this.module, moduleEnvironment: this.moduleEnvironment, ...overrides });
  }

  /** This device as a member of a fleet. */
  member(overrides: Partial<HsmTokenMemberConfig> = {}): HsmTokenMemberConfig {
    return this.token.member({ module: this.module, moduleEnvironment: this.moduleEnvironment, ...overrides });
  }

  /** Process ids of this process' agents that use the device. */
  get agents(): number[] {
    return childrenOf(process.pid).filter((pid) => environmentOf(pid).includes(this.#control.path));
  }

  /** Every call of the function takes this much longer, on the thread that makes it. 0 takes it away. */
  delay(name: SteerableFunction, milliseconds: number): void {
    this.#control.set(name, 'delayNanoseconds', BigInt(Math.round(milliseconds * 1e6)));
  }

  /** Calls beyond the rate return CKR_FUNCTION_FAILED, as CloudHSM does. 0 takes it away. */
  throttle(name: SteerableFunction, callsPerSecond: number): void {
    this.#control.set(name, 'throttleNext', 0n);
    this.#control.set(name, 'throttlePerSecond', BigInt(callsPerSecond));
  }

  /** The function returns this value without reaching the token. */
  fail(name: SteerableFunction, returnValue: ReturnValue, strikes: Strikes = {}): void {
    const number = typeof returnValue === 'number' ? returnValue : returnValues[returnValue];
    this.#strike(name, 'fail', BigInt(number), strikes);
  }

  /** The function blocks until `heal`, then goes on. Without a name, the whole device does, until `thaw`. */
  freeze(name?: SteerableFunction, strikes: Strikes = {}): void {
    if (name === undefined) this.#control.frozen = true;
    else this.#strike(name, 'freeze', 0n, strikes);
  }

  thaw(): void {
    this.#control.frozen = false;
  }

  /** The function answers with one bit of its output flipped. */
  corrupt(name: SteerableFunction, strikes: Strikes = {}): void {
    this.#strike(name, 'corrupt', 0n, strikes);
  }

  /** The vendor's library takes its process down inside the function. */
  crash(name: SteerableFunction, how: 'abort' | 'segmentation fault', strikes: Strikes = {}): void {
    this.#strike(name, 'crash', how === 'abort' ? 0n : 1n, strikes);
  }

  /** Takes the fault of one function away, and leaves its delay and throttle. */
  unstrike(name: SteerableFunction): void {
    this.#control.set(name, 'action', actions.none);
  }

  /** Takes the fault, the delay and the throttle of one function away, or of all; a frozen or absent device stays so. */
  heal(...names: SteerableFunction[]): void {
    for (const name of names.length === 0 ? steerableFunctions : names) {
      this.#control.set(name, 'action', actions.none);
      this.#control.set(name, 'delayNanoseconds', 0n);
      this.#control.set(name, 'throttlePerSecond', 0n);
    }
  }

  /** The device goes away: CKR_DEVICE_ERROR from everything, and no slots for whoever initialises meanwhile. */
  powerOff(): void {
    this.#control.off = true;
  }

  /** It is back, but processes that knew it must finalise and initialise before it answers them. */
  powerOn(): void {
    this.#control.raiseEpoch();
    this.#control.off = false;
  }

  /** Off and on at once: dead until C_Finalize and C_Initialize. */
  restart(): void {
    this.#control.raiseEpoch();
  }

  /** How often the function was called so far, in all processes, while the device was there. */
  calls(name: SteerableFunction): number {
    return Number(this.#control.get(name, 'calls'));
  }

  /**
   * Copies the token directory aside; `restoreToken` puts it back. SoftHSM rewrites `token.object` in place at login, so
   * an agent killed at that moment can leave the token truncated: SoftHSM's fault, which a test must not suffer from.
   */
  snapshotToken(): void {
    cpSync(this.#tokens, this.#snapshot, { recursive: true });
  }

  /** Only while no process uses the token. */
  restoreToken(): void {
    rmSync(this.#tokens, { recursive: true });
    cpSync(this.#snapshot, this.#tokens, { recursive: true });
  }

  /** Releases what is frozen and deletes the token. Close every `Hsm` on it first. */
  remove(): void {
    this.thaw();
    this.heal();
    this.#control.close();
    if (this.#isOwner) this.token.remove();
  }

  get #tokens(): string {
    return join(this.token.directory, 'tokens');
  }

  get #snapshot(): string {
    return join(this.token.directory, 'snapshot');
  }

  #strike(name: SteerableFunction, action: keyof typeof actions, argument: bigint, strikes: Strikes): void {
    // The action goes last: the shim reads it first, and must not meet it with the counters of an earlier one.
    this.#control.set(name, 'action', actions.none);
    this.#control.set(name, 'argument', argument);
    this.#control.set(name, 'after', BigInt(strikes.after ?? 0));
    this.#control.set(name, 'times', strikes.times === undefined ? forever : BigInt(strikes.times));
    this.#control.set(name, 'action', actions[action]);
  }
}
