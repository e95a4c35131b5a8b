import type { HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { HsmError } from '../errors.js';
import type { Hsm } from '../hsm.js';

const cacheMilliseconds = 1_000;
const timeoutMilliseconds = 2_000;

/**
 * Whether keys really sign: a deep probe, at most once a second whatever the traffic on the health endpoint, and answered
 * within two seconds. `up`: every member serves. `degraded`, which leaves the application's health as it is: some do. `down`:
 * none signs. The result names members, their states and an error code only, since health endpoints tend to be public.
 */
export class HsmHealthIndicator {
  #service: Promise<HealthIndicatorService> | undefined;

  constructor(private readonly hsm: Hsm) {}

  /** For terminus' `health.check([() => indicator.isHealthy()])`. The key of the result is `hsm-NAME`. */
  async isHealthy(): Promise<HealthIndicatorResult> {
    const key = `hsm-${this.hsm.name}`;
    const check = (await (this.#service ??= healthIndicatorService())).check(key);
    const probed = await check
      .attempt(() => this.#probe())
      .withTimeout(timeoutMilliseconds)
      .cacheFor(cacheMilliseconds);
    const { status, ...facts } = probed[key];
    const members = Object.fromEntries(this.hsm.members.map(({ name, state }) => [name, state]));
    if (status === 'down') return check.down({ ...facts, members });
    const isWhole = this.hsm.members.every(({ state }) => state === 'serving');
    return isWhole ? check.up({ ...facts, members }) : check.degraded({ ...facts, members });
  }

  async #probe(): Promise<void> {
    try {
      await this.hsm.probe();
    } catch (error) {
      throw error instanceof HsmError ? new Error(error.code, { cause: error }) : error;
    }
  }
}

/** Loaded when health is first asked for: not every application has a page of it, and no command line does. */
async function healthIndicatorService(): Promise<HealthIndicatorService> {
  const terminus = await import('@nestjs/terminus');
  return new terminus.HealthIndicatorService();
}
