import { Body, Controller, Delete, Get, HttpCode, Param, ParseUUIDPipe, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CreateRecordDto, RecordDto, UpdateRecordDto } from './record.dto.js';
import { RecordsService } from './records.service.js';

@ApiTags('records')
@Controller('records')
export class RecordsController {
  constructor(private readonly records: RecordsService) {}

  /** Stores a record; its name, national id and diagnosis are encrypted. */
  @Post()
  @ApiCreatedResponse({ type: RecordDto })
  async create(@Body() body: CreateRecordDto, @Res({ passthrough: true }) reply: FastifyReply): Promise<RecordDto> {
    const record = await this.records.create(body);
    void reply.header('location', `/records/${record.id}`);
    return record;
  }

  /** At most 100 records by id; `after` is the last id of the page before. */
  @Get()
  @ApiOkResponse({ type: [RecordDto] })
  list(@Query('after', new ParseUUIDPipe({ optional: true })) after?: string): Promise<RecordDto[]> {
    return this.records.list(after);
  }

  @Get(':id')
  @ApiOkResponse({ type: RecordDto })
  find(@Param('id', ParseUUIDPipe) id: string): Promise<RecordDto> {
    return this.records.find(id);
  }

  @Patch(':id')
  @ApiOkResponse({ type: RecordDto })
  update(@Param('id', ParseUUIDPipe) id: string, @Body() body: UpdateRecordDto): Promise<RecordDto> {
    return this.records.update(id, body);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiNoContentResponse()
  remove(@Param('id', ParseUUIDPipe) id: string): Promise<void> {
    return this.records.remove(id);
  }
}
