import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmConfig, type HsmKey } from '@nest-hsm/hsm';
import type { Scenario } from '../../test/chaos/scenarios.js';
import type { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { quantile } from '../harness/sample.js';

const callers = 16;
const soundMilliseconds = 1_500;
const faultMilliseconds = 3_000;
const gapMilliseconds = 50;
const recoveryLimitMilliseconds = 60_000;
const message = Buffer.from('to be signed by a fleet');

/** What happened from the fault on. Times in milliseconds. */
interface FaultResult {
  readonly failed: number;
  readonly p99: number;
  /** Until the member was given its last call. */
  readonly detected: number;
  /** From its mending until it was given calls again. */
  readonly recovered: number;
}

/** 16 callers who sign and verify, one signature after the other. */
export class FleetLoad {
  constructor(
    private readonly config: HsmConfig,
    private readonly key: HsmKey,
    private readonly device: VirtualHsm,
    private readonly signMilliseconds: number,
  ) {}

  /** @returns the 99th percentile without a fault, in milliseconds */
  async sound(): Promise<number> {
    const { p99 } = await this.#signing(async (_hsm, measured) => {
      await pause(soundMilliseconds);
      measured.begin();
      await pause(soundMilliseconds);
    });
    return p99;
  }

  async under(scenario: Scenario): Promise<FaultResult> {
    let detected = Number.NaN;
    let recovered = Number.NaN;
    const { failed, p99 } = await this.#signing(async (hsm, measured) => {
      await pause(soundMilliseconds);
      measured.begin();
      const struckAt = performance.now();
      scenario.strike(this.device);
      detected = await this.#lastCall(hsm, struckAt);
      await pause(Math.max(0, faultMilliseconds - (performance.now() - struckAt)));
      measured.end();
      const mendedAt = performance.now();
      scenario.mend(this.device, this.signMilliseconds);
      // Agents that were killed are back long before this moment.
      recovered = Math.max(0, (await this.#firstCall(hsm, mendedAt)) - mendedAt);
    });
    return { failed, p99, detected, recovered };
  }

  /** How long after `since` it was first left without more than a probe's call, for longer than by chance. */
  async #lastCall(hsm: Hsm, since: number): Promise<number> {
    let last = since;
    while (performance.now() - last < gapMilliseconds) {
      if (performance.now() - since > faultMilliseconds) return Number.NaN;
      if (hsm.members[0].inFlight > 1 && hsm.members[0].state === 'serving') last = performance.now();
      await pause(2);
    }
    return last - since;
  }

  async #firstCall(hsm: Hsm, since: number): Promise<number> {
    while (hsm.members[0].inFlight < 2 || hsm.members[0].state !== 'serving') {
      if (performance.now() - since > recoveryLimitMilliseconds)
        throw new Error('bench: the member never served again');
      await pause(2);
    }
    return performance.now();
  }

  async #signing(
    script: (hsm: Hsm, measured: { begin(): void; end(): void }) => Promise<void>,
  ): Promise<{ failed: number; p99: number }> {
    const hsm = await Hsm.open(this.config);
    const milliseconds: number[] = [];
    let isMeasured = false;
    let isOver = false;
    let failed = 0;
    const caller = async () => {
      while (!isOver) {
        const start = performance.now();
        try {
          await hsm.sign(this.key, 'ecdsa-sha256', message, { verify: true, hedge: true });
        } catch {
          failed++;
        }
        if (isMeasured) milliseconds.push(performance.now() - start);
      }
    };
    const all = Array.from({ length: callers }, caller);
    await script(hsm, { begin: () => (isMeasured = true), end: () => (isMeasured = false) });
    isOver = true;
    await Promise.all(all);
    await hsm.close();
    return { failed, p99: quantile(milliseconds, 0.99) };
  }
}
