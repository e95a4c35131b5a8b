import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TlsConnector, type ConnectorOptions } from '../connector/connector.js';
import { HttpsAgent } from '../connector/https-agent.js';
import { ConfigurableModuleClass, connectorOptionsToken } from './tls-connector.module-definition.js';

/**
 * Provides a `TlsConnector`, and an `HttpsAgent` over it, to an application that calls servers: with `TlsOffloadModule` beside it or
 * not.
 */
@Module({
  providers: [
    {
      provide: TlsConnector,
      useFactory: (options: ConnectorOptions) => new TlsConnector(options),
      inject: [connectorOptionsToken],
    },
    { provide: HttpsAgent, useFactory: (connector: TlsConnector) => new HttpsAgent(connector), inject: [TlsConnector] },
  ],
  exports: [TlsConnector, HttpsAgent],
})
export class TlsConnectorModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(
    @Inject(TlsConnector) private readonly connector: TlsConnector,
    @Inject(HttpsAgent) private readonly agent: HttpsAgent,
  ) {
    super();
  }

  /** Runs once the HTTP server has stopped: nobody waits for what is still under way. */
  async onApplicationShutdown(): Promise<void> {
    this.agent.destroy();
    await this.connector.close();
  }
}
