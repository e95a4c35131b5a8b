import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as TypeOrm from 'typeorm';
import type { ValueTransformer } from 'typeorm';
import { perform } from '../harness/process.js';
import { type randomRow } from './entities.js';
import { costsOf } from './rows-cost.js';
import type { RowsResult, TypeormEncryptedTask } from './task.js';

/** The same rows through typeorm-encrypted's transformer, AES-256-GCM with a random nonce, or without it: both on TypeORM 0.3. */
perform<TypeormEncryptedTask, RowsResult>(async ({ place, database, columns, rows, times }) => {
  const require = createRequire(join(place, 'package.json'));
  require('reflect-metadata');
  const { DataSource, EntitySchema } = require('typeorm') as typeof TypeOrm;
  const { EncryptionTransformer } = require('typeorm-encrypted') as {
    EncryptionTransformer: new (options: object) => ValueTransformer;
  };
  const key = randomBytes(32).toString('hex');
  const transformer =
    columns === 'encrypted'
      ? new EncryptionTransformer({ key, algorithm: 'aes-256-gcm', ivLength: 12, authTagLength: 16 })
      : undefined;
  const text = { type: 'text', transformer } as const;
  const entity = new EntitySchema<ReturnType<typeof randomRow> & { id: string }>({
    name: 'row',
    columns: {
      id: { type: 'uuid', primary: true, generated: 'uuid' },
      city: text,
      phone: text,
      street: text,
      diagnosis: text,
      n: { type: 'int' },
    },
  });
  const options = { type: database.type, database: database.place, entities: [entity] } as TypeOrm.DataSourceOptions;
  const dataSource = await new DataSource({ ...options, synchronize: true, dropSchema: true }).initialize();
  const result = await costsOf({ dataSource, entity }, rows, times);
  await dataSource.destroy();
  return result;
});
