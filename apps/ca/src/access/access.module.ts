import { type DynamicModule, Module } from '@nestjs/common';
import { ApiTokens, TypeOrmApiTokenStore } from '@nest-hsm/ca';
import { DataSource } from 'typeorm';
import type { Config } from '../config.js';
import { Authenticator } from './authenticator.js';
import { ClientCertificates } from './client-certificates.js';
import { ClientTokens } from './client-tokens.js';
import { OidcProviders } from './oidc.js';
import { PresentedCertificate } from './presented-certificate.js';
import { SetupToken } from './setup-token.js';
import { TokensController } from './tokens.controller.js';

/** Who may use the service. */
@Module({ controllers: [TokensController] })
export class AccessModule {
  static of({ setupTokenFile, access }: Config, database: DynamicModule): DynamicModule {
    return {
      module: AccessModule,
      imports: [database],
      providers: [
        { provide: SetupToken, useFactory: () => SetupToken.ofFile(setupTokenFile) },
        { provide: ClientTokens, useFactory: () => new ClientTokens(access.clients) },
        { provide: ClientCertificates, useFactory: () => new ClientCertificates(access.clients) },
        { provide: OidcProviders, useFactory: () => new OidcProviders(access.oidc) },
        { provide: PresentedCertificate, useFactory: () => new PresentedCertificate(access.terminators) },
        {
          provide: ApiTokens,
          inject: [DataSource],
          useFactory: (dataSource: DataSource) => new ApiTokens(new TypeOrmApiTokenStore(dataSource)),
        },
        Authenticator,
      ],
      exports: [Authenticator, ClientCertificates],
    };
  }
}
