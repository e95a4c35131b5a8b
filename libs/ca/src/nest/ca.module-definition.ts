import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { CaConfig } from '../config.js';
import type { IssuerToken } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';

export interface CaModuleOptions {
  /** The token that holds the issuer keys: an `Hsm`. Its owner closes it. */
  readonly hsm: IssuerToken;
  /** A database with `caEntities` and its migrations (`caMigrations`) run, as `openCaDatabase` returns. Its owner closes it. */
  readonly dataSource: DataSource;
  readonly config: CaConfig;
  readonly observer?: CaObserver;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<CaModuleOptions>()
  .setClassMethodName('forRoot')
  .build();
