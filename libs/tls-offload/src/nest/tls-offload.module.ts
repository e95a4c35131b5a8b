import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TlsTerminator, type TerminatorOptions } from '../terminator.js';
import { ConfigurableModuleClass, terminatorOptionsToken } from './tls-offload.module-definition.js';

/**
 * Provides a `TlsTerminator` to the application. To serve the application itself over TLS, give its HTTP adapter a server of
 * `createTlsOffloadServer(() => app.get(TlsTerminator), …)` before; for an adapter that takes none, see `overTls`.
 */
@Module({
  providers: [
    {
      provide: TlsTerminator,
      useFactory: (options: TerminatorOptions) => new TlsTerminator(options),
      inject: [terminatorOptionsToken],
    },
  ],
  exports: [TlsTerminator],
})
export class TlsOffloadModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(@Inject(TlsTerminator) private readonly terminator: TlsTerminator) {
    super();
  }

  /** Runs once the HTTP server has stopped listening: what is open then ends in its own time, but not for ever. */
  async onApplicationShutdown(): Promise<void> {
    await this.terminator.close();
  }
}
