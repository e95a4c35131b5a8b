import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { CertificateAuthority } from '../certificate-authority.js';
import { TypeOrmAuthorityStore } from '../store/typeorm/typeorm-authority-store.js';
import { TypeOrmCertificateStore } from '../store/typeorm/typeorm-certificate-store.js';
import { TypeOrmCrlStore } from '../store/typeorm/typeorm-crl-store.js';
import { CaHealthIndicator } from './ca.health.js';
import { type CaModuleOptions, ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './ca.module-definition.js';

/** Opens the certificate authority when the application starts and closes it when it shuts down. */
@Module({
  providers: [
    {
      provide: CertificateAuthority,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: ({ hsm, dataSource, config, observer }: CaModuleOptions): Promise<CertificateAuthority> =>
        CertificateAuthority.open({
          token: hsm,
          authorities: new TypeOrmAuthorityStore(dataSource),
          certificates: new TypeOrmCertificateStore(dataSource),
          crls: new TypeOrmCrlStore(dataSource),
          config,
          observer,
        }),
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
