import { Column, type ValueTransformer } from 'typeorm';
import { DataEncryptionError } from '../errors.js';
import type { ValueType } from '../value-encoding.js';

export interface EncryptedColumnOptions {
  /** What the property holds; bound in every cell. Default `string`. */
  readonly type?: ValueType;
  /** The column's name in the associated data, for ever. Default: the property; set it before the property is renamed. */
  readonly columnId?: string;
  /** Name of the database column. */
  readonly name?: string;
  /** Default false. NULL is stored as NULL: that a value is missing is not hidden. */
  readonly nullable?: boolean;
  /** As of `@Column()`. */
  readonly select?: boolean;
  /** As of `@Column()`. */
  readonly insert?: boolean;
  /** As of `@Column()`. */
  readonly update?: boolean;
  /** As of `@Column()`. */
  readonly comment?: string;
}

export interface EncryptedEntityOptions {
  /** The table's name in the associated data, for ever. Default: the entity's name; set it before the class is renamed. */
  readonly tableId: string;
}

export interface EncryptedColumnDeclaration {
  readonly type: ValueType;
  readonly columnId?: string;
}

// Of the global registry: two copies of this library read each other's declarations.
const columnsKey = Symbol.for('@nest-hsm/data-encryption:columns');
const entityKey = Symbol.for('@nest-hsm/data-encryption:entity');

/**
 * A text column whose values are encrypted: `@EncryptedColumn() name: string`. It takes the place of `@Column()` and only
 * records what is wanted. A data source without `withDataEncryption` refuses to write or read such a column.
 */
export function EncryptedColumn(options: EncryptedColumnOptions = {}): PropertyDecorator {
  const { type = 'string', columnId, ...columnOptions } = options;
  return (prototype, property) => {
    const declarations = ownDeclarations(prototype.constructor);
    declarations.set(String(property), { type, columnId });
    Reflect.defineMetadata(columnsKey, declarations, prototype.constructor);
    Column({ ...columnOptions, type: 'text', transformer: refuseUntilInstalled })(prototype, property);
  };
}

/** Names the table of an entity in the associated data of its cells, beside `@Entity()`. */
export function EncryptedEntity(options: EncryptedEntityOptions): ClassDecorator {
  return (target) => Reflect.defineMetadata(entityKey, options, target);
}

/** What `@EncryptedColumn` said about a property of a class or of one it extends. */
export function encryptedColumnDeclaration(target: unknown, property: string): EncryptedColumnDeclaration | undefined {
  for (let type = target; typeof type === 'function'; type = Object.getPrototypeOf(type) as unknown) {
    const declaration = ownDeclarations(type).get(property);
    if (declaration !== undefined) return declaration;
  }
  return undefined;
}

export function encryptedEntityOptions(target: unknown): EncryptedEntityOptions | undefined {
  if (typeof target !== 'function') return undefined;
  return Reflect.getMetadata(entityKey, target) as EncryptedEntityOptions | undefined;
}

/**
 * Stands in for encryption where it is not installed: nothing is written in plaintext, nothing read as if it were plaintext.
 * Installing removes it.
 */
export const refuseUntilInstalled: ValueTransformer = { to: refuseValue, from: refuseValue };

function refuseValue(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  throw new DataEncryptionError(
    'ERR_DATA_NOT_INSTALLED',
    'encrypted column: want its data source passed to withDataEncryption before initialize(), got one that was not',
  );
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- any class
function ownDeclarations(target: Function): Map<string, EncryptedColumnDeclaration> {
  const declarations = Reflect.getOwnMetadata(columnsKey, target) as
    Map<string, EncryptedColumnDeclaration> | undefined;
  return declarations ?? new Map<string, EncryptedColumnDeclaration>();
}
