import { ApiProperty, PartialType } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength, MinLength } from 'class-validator';

export class CreateRecordDto {
  /** @example 'Ada Example' */
  @IsString()
  @MinLength(1)
  @MaxLength(256)
  name: string;

  /** @example 'AB-1815-12-10' */
  @IsString()
  @MinLength(1)
  @MaxLength(64)
  nationalId: string;

  @ApiProperty({ description: 'Any JSON value.', example: { code: 'J30.1', note: 'hay fever' }, required: false })
  @IsOptional()
  diagnosis?: unknown;
}

/** What is left out stays as it is; null is no value of a name. */
export class UpdateRecordDto extends PartialType(CreateRecordDto, { skipNullProperties: false }) {}

export class RecordDto {
  /** @example '5b1c4f3e-7f5e-4a51-9d0c-4a6c0a2b8d11' */
  id: string;

  name: string;

  nationalId: string;

  @ApiProperty({ description: 'Any JSON value.' })
  diagnosis: unknown;

  /** RFC 3339. */
  createdAt: string;
}
