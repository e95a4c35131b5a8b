import type { ValueTransformer } from 'typeorm';

/** Times are milliseconds since 1970 in a bigint, which PostgreSQL's driver hands over as text. */
export const time: ValueTransformer = {
  to: (value: Date | null | undefined) => value?.getTime() ?? value,
  from: (value: number | string | null) => (value === null ? undefined : new Date(Number(value))),
};

/** Octets are base64 text: one column type on every database, readable with any client. */
export const octets: ValueTransformer = {
  to: (value: Buffer | null | undefined) => value?.toString('base64') ?? value,
  from: (value: string | null) => (value === null ? undefined : Buffer.from(value, 'base64')),
};

/** A bigint that stays below 2^53. */
export const count: ValueTransformer = {
  to: (value: number) => value,
  from: (value: number | string) => Number(value),
};

/** NULL is undefined in the records the stores return. */
export const optionalText: ValueTransformer = {
  to: (value: string | undefined) => value,
  from: (value: string | null) => value ?? undefined,
};

/** Words without blanks in one text. */
export const words: ValueTransformer = {
  to: (value: readonly string[]) => value.join(' '),
  from: (value: string) => value.split(' '),
};

export const optionalWords: ValueTransformer = {
  to: (value: readonly string[] | undefined) => value?.join(' '),
  from: (value: string | null) => value?.split(' '),
};

/** Texts, whatever is in them. */
export const list: ValueTransformer = {
  to: (value: readonly string[]) => JSON.stringify(value),
  from: (value: string) => JSON.parse(value) as string[],
};
