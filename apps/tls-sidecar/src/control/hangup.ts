import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { sentenceOf } from '../faults.js';
import type { Operations } from '../operations.js';

/** SIGHUP reads the configuration again. */
export class ReloadOnHangup implements OnApplicationShutdown {
  readonly #logger = new Logger('tls-sidecar');
  readonly #onSignal = (): void =>
    void this.operations.reload().catch((error: unknown) => {
      this.#logger.error(`configuration not reloaded, everything stays as it was: ${sentenceOf(error)}`);
    });

  constructor(private readonly operations: Operations) {
    process.on('SIGHUP', this.#onSignal);
  }

  onApplicationShutdown(): void {
    process.off('SIGHUP', this.#onSignal);
  }
}
