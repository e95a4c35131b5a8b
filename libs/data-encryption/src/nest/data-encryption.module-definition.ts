import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { Registry } from 'prom-client';
import type { DataEncryptionConfig } from '../config.js';

export type DataEncryptionModuleOptions = DataEncryptionConfig & {
  /** Where metrics are counted; prom-client's global registry when absent. */
  readonly registry?: Registry;
};

export const dataEncryptionOptionsToken = Symbol('@nest-hsm/data-encryption options');

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DataEncryptionModuleOptions>({ optionsInjectionToken: dataEncryptionOptionsToken })
    .setClassMethodName('forRoot')
    .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
    .build();
