import { randomBytes } from 'node:crypto';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { HsmError } from '../errors.js';
import type { Hsm } from '../hsm.js';
import type { HsmKey } from '../key/key.js';

/** The key pair of the probe, found on the token or made there: it signs random bytes and nothing else. */
export const probeKeyLabel = 'nest-hsm-probe';

const cacheMilliseconds = 1_000;
const timeoutMilliseconds = 2_000;

/**
 * Whether the token really signs: a deep probe, at most once a second whatever the traffic on the health endpoint, and
 * answered within two seconds. The result names an error code only, since health endpoints tend to be public.
 */
export class HsmHealthIndicator {
  readonly #service = new HealthIndicatorService();
  #probeKey: HsmKey | undefined;

  constructor(private readonly hsm: Hsm) {}

  /** For terminus' `health.check([() => indicator.isHealthy()])`. The key of the result is `hsm-NAME`. */
  async isHealthy(): Promise<HealthIndicatorResult> {
    return this.#service
      .check(`hsm-${this.hsm.name}`)
      .attempt(({ signal }) => this.#probe(signal))
      .withTimeout(timeoutMilliseconds)
      .cacheFor(cacheMilliseconds);
  }

  async #probe(signal: AbortSignal): Promise<void> {
    try {
      this.#probeKey ??= await this.#findOrMakeKey(signal);
      await this.hsm.sign(this.#probeKey, 'ecdsa-sha256', randomBytes(32), { verify: true, signal });
    } catch (error) {
      // Perhaps the key itself is gone.
      this.#probeKey = undefined;
      throw error instanceof HsmError ? new Error(error.code, { cause: error }) : error;
    }
  }

  async #findOrMakeKey(signal: AbortSignal): Promise<HsmKey> {
    // Replicas that start together may each make one: any of them serves.
    const [found] = await this.hsm.listKeys({ label: probeKeyLabel, usage: 'sign' }, { signal });
    return found ?? this.hsm.generateKeyPair({ label: probeKeyLabel, algorithm: 'ec-p256' }, { signal });
  }
}
