import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule, type TypeOrmModuleAsyncOptions, type TypeOrmModuleOptions } from '@nestjs/typeorm';
import { register } from 'prom-client';
import { DataSource } from 'typeorm';
import { DataEncryptionError, isOutage } from '../errors.js';
import { DataEncryption } from '../typeorm/data-encryption.js';
import { DataEncryptionHealthIndicator } from './data-encryption.health.js';
import { DataEncryptionMetrics } from './data-encryption.metrics.js';
import {
  ConfigurableModuleClass,
  type DataEncryptionModuleOptions,
  dataEncryptionOptionsToken,
} from './data-encryption.module-definition.js';

export type { DataEncryptionModuleOptions };

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
      useFactory: createDataEncryption,
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
      useFactory: async (dataEncryption: DataEncryption, ...injected: unknown[]) => {
        attached = dataEncryption;
        const given = await useFactory(...injected);
        return { ...given, toRetry: (error: unknown) => mayPass(error) && (given.toRetry?.(error) ?? true) };
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

function createDataEncryption({ registry = register, ...config }: DataEncryptionModuleOptions): DataEncryption {
  const metrics = new DataEncryptionMetrics(config.databaseId, registry);
  const encryption = new DataEncryption(config, metrics);
  metrics.watchLoadedKeys(() => encryption.status().loadedKeys);
  metrics.watchReencryption(() => reencryptionOf(encryption));
  return encryption;
}

/** How far the tables have come that are being encrypted anew. */
async function reencryptionOf(encryption: DataEncryption) {
  if (encryption.status().state === 'closed') return [];
  const { lifecycle } = encryption;
  const passes = await Promise.all(lifecycle.tableIds.map((tableId) => lifecycle.reencryption(tableId)));
  return lifecycle.tableIds.flatMap((tableId, index) => {
    const pass = passes[index];
    return pass === undefined ? [] : [{ tableId, rows: pass.rows, ofRows: pass.ofRows }];
  });
}

/** Nest opens a data source ten times before it gives up: a refused KEK or a wrong mapping is the same each time. */
function mayPass(error: unknown): boolean {
  return !(error instanceof DataEncryptionError) || isOutage(error);
}
