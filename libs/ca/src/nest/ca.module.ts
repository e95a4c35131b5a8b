import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { CertificateAuthority } from '../certificate-authority.js';
import { caStores } from '../store/typeorm/stores.js';
import { CaHealthIndicator } from './ca.health.js';
import { type CaModuleOptions, ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './ca.module-definition.js';

/** Opens the certificate authority when the application starts and closes it when it shuts down. */
@Module({
  providers: [
    {
      provide: CertificateAuthority,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: ({ hsm, dataSource, ...options }: CaModuleOptions): Promise<CertificateAuthority> =>
        CertificateAuthority.open({ token: hsm, ...caStores(dataSource), ...options }),
    },
    CaHealthIndicator,
  ],
  exports: [CertificateAuthority, CaHealthIndicator],
})
export class CaModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(private readonly authority: CertificateAuthority) {
    super();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.authority.close();
  }
}
