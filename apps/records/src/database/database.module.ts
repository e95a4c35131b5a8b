import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { DataEncryption } from '@nest-hsm/data-encryption';
import { type Hsm, hsmToken } from '@nest-hsm/hsm';
import { DataSource } from 'typeorm';
import type { Config } from '../config.js';
import { openDatabase } from './database.js';

/** A name for this database in the associated data of every cell; it must never change. */
const databaseId = 'records';

/** Opens the encrypted database while the application starts and closes it, before the token, while it shuts down. */
@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  /** @param hsm  the module that opens the token of the KEK */
  static of({ database, kekLabel, createKek, hsm: { name } }: Config, hsm: DynamicModule): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [hsm],
      providers: [
        {
          provide: DataEncryption,
          inject: [hsmToken(name)],
          useFactory: (token: Hsm) => new DataEncryption({ hsm: token, kekLabel, createKek, databaseId }),
        },
        {
          provide: DataSource,
          inject: [DataEncryption],
          useFactory: (encryption: DataEncryption) => openDatabase(database, encryption),
        },
      ],
      exports: [DataEncryption, DataSource],
    };
  }

  constructor(private readonly dataSource: DataSource) {}

  async onApplicationShutdown(): Promise<void> {
    await this.dataSource.destroy();
  }
}
