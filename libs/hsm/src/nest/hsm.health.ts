import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { HsmError } from '../errors.js';
import type { Hsm } from '../hsm.js';

const cacheMilliseconds = 1_000;
const timeoutMilliseconds = 2_000;

/**
 * Whether keys really sign: a deep probe, at most once a second whatever the traffic on the health endpoint, and answered
 * within two seconds. One member that signs is enough. The result names members, their states and an error code only, since
 * health endpoints tend to be public.
 */
export class HsmHealthIndicator {
  readonly #service = new HealthIndicatorService();

  constructor(private readonly hsm: Hsm) {}

  /** For terminus' `health.check([() => indicator.isHealthy()])`. The key of the result is `hsm-NAME`. */
  async isHealthy(): Promise<HealthIndicatorResult> {
    return this.#service
      .check(`hsm-${this.hsm.name}`)
      .attempt(() => this.#probe())
      .withTimeout(timeoutMilliseconds)
      .cacheFor(cacheMilliseconds);
  }

  async #probe(): Promise<Record<string, unknown>> {
    try {
      await this.hsm.probe();
    } catch (error) {
      throw error instanceof HsmError ? new Error(error.code, { cause: error }) : error;
    }
    return { members: Object.fromEntries(this.hsm.members.map(({ name, state }) => [name, state])) };
  }
}
