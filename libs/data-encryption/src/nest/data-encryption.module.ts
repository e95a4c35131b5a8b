import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule, type TypeOrmModuleAsyncOptions, type TypeOrmModuleOptions } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DataEncryptionConfig } from '../config.js';
import { DataEncryption } from '../typeorm/data-encryption.js';
import { DataEncryptionHealthIndicator } from './data-encryption.health.js';
import { ConfigurableModuleClass, dataEncryptionOptionsToken } from './data-encryption.module-definition.js';

/** What `TypeOrmModule.forRootAsync` takes, but for the making of the data source. */
export type EncryptedTypeOrmOptions = Pick<TypeOrmModuleAsyncOptions, 'imports' | 'inject' | 'name'> & {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever `inject` names, as in TypeOrmModuleAsyncOptions
  readonly useFactory: (...injected: any[]) => TypeOrmModuleOptions | Promise<TypeOrmModuleOptions>;
};

/**
 * `forRoot` or `forRootAsync` provides the encryption of one data source, `forFeature` is the data source itself, in the place of
 * `TypeOrmModule.forRootAsync`:
 *
 * ```ts
 * const encryption = DataEncryptionModule.forRootAsync({ imports: [hsm], inject: [hsmToken('data')], useFactory: … });
 * imports: [encryption, DataEncryptionModule.forFeature(encryption, { useFactory: () => ({ type: 'postgres', … }) })]
 * ```
 */
@Module({
  providers: [
    {
      provide: DataEncryption,
      useFactory: (config: DataEncryptionConfig) => new DataEncryption(config),
      inject: [dataEncryptionOptionsToken],
    },
    DataEncryptionHealthIndicator,
  ],
  exports: [DataEncryption, DataEncryptionHealthIndicator],
})
export class DataEncryptionModule extends ConfigurableModuleClass {
  /** @param encryption  the module that `forRoot` or `forRootAsync` returned */
  static forFeature(encryption: DynamicModule, options: EncryptedTypeOrmOptions): DynamicModule {
    const { imports = [], inject = [], useFactory, name } = options;
    // Nest asks for the options first, and gives the factory of the data source nothing but them.
    let attached: DataEncryption | undefined;
    return TypeOrmModule.forRootAsync({
      name,
      imports: [...imports, encryption],
      inject: [DataEncryption, ...(inject as string[])],
      useFactory: (dataEncryption: DataEncryption, ...injected: unknown[]) => {
        attached = dataEncryption;
        return useFactory(...injected);
      },
      dataSourceFactory: (dataSourceOptions) => {
        if (dataSourceOptions === undefined || attached === undefined) {
          throw new TypeError('data source: want its options first, got none');
        }
        const dataSource = new DataSource(dataSourceOptions);
        attached.attach(dataSource);
        return Promise.resolve(dataSource);
      },
    });
  }
}
