import { type DynamicModule, Module } from '@nestjs/common';
import { type ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, type OPTIONS_TYPE } from './hsm.module-definition.js';
import type { HsmModuleExtras } from './hsm.module-options.js';

/**
 * Opens one Hsm while the application starts and closes it, when the last request is done, while it shuts down. An
 * application with several tokens imports it once for each, under different names.
 */
@Module({})
export class HsmModule {
  static forRoot(options: typeof OPTIONS_TYPE & HsmModuleExtras): DynamicModule {
    return { ...ConfigurableModuleClass.forRoot(options), module: HsmModule };
  }

  static forRootAsync(options: typeof ASYNC_OPTIONS_TYPE & HsmModuleExtras): DynamicModule {
    return { ...ConfigurableModuleClass.forRootAsync(options), module: HsmModule };
  }
}
