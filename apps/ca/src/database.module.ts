import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { type DatabaseConfig, openCaDatabase } from '@nest-hsm/ca';
import { DataSource } from 'typeorm';

/** Opens the database, schema up to date, while the application starts, and closes it while it shuts down. */
@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  static of(config: DatabaseConfig): DynamicModule {
    return {
      module: DatabaseModule,
      providers: [{ provide: DataSource, useFactory: () => openCaDatabase(config) }],
      exports: [DataSource],
    };
  }

  constructor(private readonly dataSource: DataSource) {}

  async onApplicationShutdown(): Promise<void> {
    await this.dataSource.destroy();
  }
}
