import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type QueryDeepPartialEntity, Repository } from 'typeorm';
import { ServiceError } from '../problem/service-error.js';
import type { CreateRecordDto, UpdateRecordDto } from './record.dto.js';
import { RecordEntity } from './record.entity.js';

export const pageLimit = 100;

/** Ordinary TypeORM: nothing here knows that columns are encrypted. */
@Injectable()
export class RecordsService {
  constructor(@InjectRepository(RecordEntity) private readonly records: Repository<RecordEntity>) {}

  create(fields: CreateRecordDto): Promise<RecordEntity> {
    return this.records.save(this.records.create({ ...fields, createdAt: new Date().toISOString() }));
  }

  /** @throws {ServiceError} ERR_RECORDS_NOT_FOUND */
  async find(id: string): Promise<RecordEntity> {
    const record = await this.records.findOneBy({ id });
    if (record === null) throw notFound(id);
    return record;
  }

  /** The first records by id after `after`. */
  list(after?: string): Promise<RecordEntity[]> {
    const query = this.records.createQueryBuilder('record').orderBy('record.id').take(pageLimit);
    return (after === undefined ? query : query.where('record.id > :after', { after })).getMany();
  }

  /** @throws {ServiceError} ERR_RECORDS_NOT_FOUND */
  async update(id: string, fields: UpdateRecordDto): Promise<RecordEntity> {
    // Not read and saved: between the two a record may be deleted, and saving would bring it back.
    if (Object.keys(fields).length > 0) {
      const { affected } = await this.records.update({ id }, fields as QueryDeepPartialEntity<RecordEntity>);
      if (affected !== 1) throw notFound(id);
    }
    return this.find(id);
  }

  /** @throws {ServiceError} ERR_RECORDS_NOT_FOUND */
  async remove(id: string): Promise<void> {
    const { affected } = await this.records.delete({ id });
    if (affected !== 1) throw notFound(id);
  }
}

function notFound(id: string): ServiceError {
  return new ServiceError('ERR_RECORDS_NOT_FOUND', `record: want the id of one that is here, got ${id}`);
}
