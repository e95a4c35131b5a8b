import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getRepositoryToken, TypeOrmModule } from '@nestjs/typeorm';
import { Registry } from 'prom-client';
import { DataSource, Entity, PrimaryGeneratedColumn, type Repository } from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { EncryptedColumn } from '../typeorm/decorators.js';
import { DataEncryption } from '../typeorm/data-encryption.js';
import { DataEncryptionHealthIndicator } from './data-encryption.health.js';
import { DataEncryptionModule } from './data-encryption.module.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  text: string;
}

const kek = new SoftwareKek();
const memory = { type: 'better-sqlite3', database: ':memory:', autoLoadEntities: true, synchronize: true } as const;

@Module({ providers: [{ provide: 'kek', useValue: kek }], exports: ['kek'] })
class KekModule {}

describe('DataEncryptionModule', () => {
  it('encrypts the data source that forFeature opens', async () => {
    const encryption = DataEncryptionModule.forRootAsync({
      imports: [KekModule],
      inject: ['kek'],
      useFactory: (hsm: SoftwareKek) => ({ hsm, kekLabel: 'kek', createKek: true, databaseId: 'test' }),
    });
    const database = DataEncryptionModule.forFeature(encryption, {
      useFactory: () => memory,
    });
    const app = await Test.createTestingModule({
      imports: [encryption, database, TypeOrmModule.forFeature([Note])],
    }).compile();
    const notes = app.get<Repository<Note>>(getRepositoryToken(Note));
    await notes.save({ text: 'secret' });
    expect(await notes.find()).toMatchObject([{ text: 'secret' }]);
    expect(await app.get(DataSource).query('SELECT text FROM note')).toEqual([
      { text: expect.stringMatching(/^nhsm/) },
    ]);

    const health = app.get(DataEncryptionHealthIndicator);
    expect(await health.isHealthy()).toEqual({ 'data-encryption': { status: 'up', state: 'ready', loadedKeys: 1 } });
    await app.close();
    expect(await health.isHealthy()).toMatchObject({ 'data-encryption': { status: 'down', state: 'closed' } });
  });

  it('counts cells, failures and data keys', async () => {
    const registry = new Registry();
    const config = { hsm: kek, kekLabel: 'counted', createKek: true, databaseId: 'counted', registry };
    const encryption = DataEncryptionModule.forRoot(config);
    const database = DataEncryptionModule.forFeature(encryption, { useFactory: () => memory });
    const app = await Test.createTestingModule({
      imports: [encryption, database, TypeOrmModule.forFeature([Note])],
    }).compile();
    const notes = app.get<Repository<Note>>(getRepositoryToken(Note));
    const [first] = await notes.save([{ text: 'one' }, { text: 'two' }, { text: 'three' }]);
    await notes.update({ id: first.id }, { text: 'four' });
    expect(await notes.find()).toHaveLength(3);
    await expect(notes.save({ text: 7 as unknown as string })).rejects.toMatchObject({
      code: 'ERR_DATA_VALUE_INVALID',
    });
    await app.get(DataSource).query('UPDATE note SET text = ?', ['plaintext']);
    await expect(notes.find()).rejects.toMatchObject({ code: 'ERR_DATA_DECRYPTION_FAILED' });

    const controller = new AbortController();
    const { lifecycle } = app.get(DataEncryption);
    const onProgress = () => controller.abort(new Error('enough'));
    const reencryption = lifecycle.reencrypt('Note', { pageRows: 1, signal: controller.signal, onProgress });
    await expect(reencryption).rejects.toThrow('enough');

    const metrics = await registry.metrics();
    for (const line of [
      'cells_total{database="counted",operation="encrypt"} 4',
      'cells_total{database="counted",operation="decrypt"} 3',
      'failures_total{database="counted",code="ERR_DATA_VALUE_INVALID"} 1',
      'failures_total{database="counted",code="ERR_DATA_DECRYPTION_FAILED"} 1',
      'data_key_unwraps_total{database="counted",code="OK"} 1',
      'data_key_unwrap_duration_seconds_count{database="counted"} 1',
      'data_keys_loaded{database="counted"} 1',
      'reencryption_rows{database="counted",table="Note",rows="seen"} 1',
      'reencryption_rows{database="counted",table="Note",rows="all"} 3',
    ]) {
      expect(metrics).toContain(`nest_hsm_data_encryption_${line}`);
    }
    await app.close();
  });

  it('does not open a data source again and again under a KEK that is refused', async () => {
    const encryption = DataEncryptionModule.forRoot({ hsm: kek, kekLabel: 'nobody made it', databaseId: 'test' });
    const database = DataEncryptionModule.forFeature(encryption, {
      useFactory: () => ({ ...memory, entities: [Note] }),
    });
    await expect(Test.createTestingModule({ imports: [encryption, database] }).compile()).rejects.toMatchObject({
      code: 'ERR_DATA_KEY_REJECTED',
    });
  });

  it('takes its configuration at once, and refuses a faulty one', async () => {
    const encryption = DataEncryptionModule.forRoot({ hsm: kek, kekLabel: '', databaseId: 'test' });
    await expect(Test.createTestingModule({ imports: [encryption] }).compile()).rejects.toMatchObject({
      code: 'ERR_DATA_CONFIG_INVALID',
    });
  });
});
