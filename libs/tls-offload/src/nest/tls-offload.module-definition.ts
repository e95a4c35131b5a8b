import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { TerminatorOptions } from '../terminator.js';

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: terminatorOptionsToken,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<TerminatorOptions>({ moduleName: 'TlsOffload' })
  .setClassMethodName('forRoot')
  .build();
