import { Injectable } from '@nestjs/common';
import { DataEncryption } from '../typeorm/data-encryption.js';

/** The shape of terminus' HealthIndicatorResult. */
export type DataEncryptionHealth = Record<
  'data-encryption',
  { status: 'up' | 'down'; state: string; loadedKeys: number }
>;

/**
 * Whether encrypted columns can be read and written. `degraded` is up: loaded keys serve while the HSM is down. It asks the HSM
 * only for keys that have grown too old, and names states only, since health endpoints tend to be public.
 */
@Injectable()
export class DataEncryptionHealthIndicator {
  constructor(private readonly encryption: DataEncryption) {}

  /** For terminus' `health.check([() => indicator.isHealthy()])`. */
  async isHealthy(): Promise<DataEncryptionHealth> {
    const { state, loadedKeys } = await this.encryption.check();
    const status = state === 'ready' || state === 'degraded' ? 'up' : 'down';
    return { 'data-encryption': { status, state, loadedKeys } };
  }
}
