import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getRepositoryToken, TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, Entity, PrimaryGeneratedColumn, type Repository } from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { EncryptedColumn } from '../typeorm/decorators.js';
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
      useFactory: () => ({ type: 'better-sqlite3', database: ':memory:', autoLoadEntities: true, synchronize: true }),
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

  it('takes its configuration at once, and refuses a faulty one', async () => {
    const encryption = DataEncryptionModule.forRoot({ hsm: kek, kekLabel: '', databaseId: 'test' });
    await expect(Test.createTestingModule({ imports: [encryption] }).compile()).rejects.toMatchObject({
      code: 'ERR_DATA_CONFIG_INVALID',
    });
  });
});
