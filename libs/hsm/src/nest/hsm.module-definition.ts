import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { HsmModuleExtras, HsmModuleOptions } from './hsm.module-options.js';
import { hsmProviders } from './hsm.providers.js';
import { hsmHealthToken, hsmToken } from './hsm.tokens.js';

export const hsmModuleOptionsToken = Symbol('@nest-hsm/hsm options');

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<HsmModuleOptions>({ optionsInjectionToken: hsmModuleOptionsToken })
    .setClassMethodName('forRoot')
    .setExtras<HsmModuleExtras>({ name: '' }, (definition, { name }) => ({
      ...definition,
      providers: [...(definition.providers ?? []), ...hsmProviders(name, hsmModuleOptionsToken)],
      exports: [hsmToken(name), hsmHealthToken(name)],
    }))
    .build();
