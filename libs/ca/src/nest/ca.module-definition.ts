import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { CaConfig } from '../config.js';
import type { IssuerToken } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import type { SharedJobs } from '../schedule.js';

export interface CaModuleOptions {
  /** The token that holds the issuer keys: an `Hsm`. Its owner closes it. */
  readonly hsm: IssuerToken;
  /** A database with `caEntities` and its migrations (`caMigrations`, `transaction: 'each'`) run, as `openCaDatabase` returns. Its owner closes it. */
  readonly dataSource: DataSource;
  readonly config: CaConfig;
  readonly observer?: CaObserver;
  /** As `CertificateAuthorityOptions` says. */
  readonly sharedJobs?: SharedJobs;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<CaModuleOptions>()
  .setClassMethodName('forRoot')
  .build();
