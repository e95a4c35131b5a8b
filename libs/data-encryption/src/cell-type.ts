/** What a cell holds. The number is bound in the associated data (docs/ENVELOPE.md) and never reused. */
export const cellTypes = {
  string: 1,
  number: 2,
  bigint: 3,
  boolean: 4,
  date: 5,
  json: 6,
  buffer: 7,
  paddedString: 8,
  paddedJson: 9,
  paddedBuffer: 10,
  nullableNumber: 11,
  nullableBigint: 12,
  nullableBoolean: 13,
  nullableDate: 14,
  nullablePaddedString: 15,
  nullablePaddedJson: 16,
  nullablePaddedBuffer: 17,
} as const;
export type CellType = keyof typeof cellTypes;

/** What a property holds. */
export type ValueType = Exclude<CellType, `padded${string}` | `nullable${string}`>;

const paddedTypes: Partial<Record<CellType, CellType>> = {
  string: 'paddedString',
  json: 'paddedJson',
  buffer: 'paddedBuffer',
};

const nullableTypes: Partial<Record<CellType, CellType>> = {
  number: 'nullableNumber',
  bigint: 'nullableBigint',
  boolean: 'nullableBoolean',
  date: 'nullableDate',
  paddedString: 'nullablePaddedString',
  paddedJson: 'nullablePaddedJson',
  paddedBuffer: 'nullablePaddedBuffer',
};

/** How a property is held when its length is to be hidden; undefined where all values have one length. */
export function paddedType(type: ValueType): CellType | undefined {
  return paddedTypes[type];
}

/** How null is held as other values are; undefined where its length would tell it from them. */
export function nullableType(type: CellType): CellType | undefined {
  return nullableTypes[type];
}

/** Whether null has a cell as other values have. */
export function isNullable(type: CellType): boolean {
  return Object.values(nullableTypes).includes(type);
}
