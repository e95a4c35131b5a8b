import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { DataEncryptionConfig } from '../config.js';

export const dataEncryptionOptionsToken = Symbol('@nest-hsm/data-encryption options');

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DataEncryptionConfig>({ optionsInjectionToken: dataEncryptionOptionsToken })
    .setClassMethodName('forRoot')
    .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
    .build();
