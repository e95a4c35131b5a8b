import { Column, Index } from 'typeorm';
import { indexCharacters, type Normalization } from '../blind-index.js';
import type { ValueType } from '../cell-type.js';
import type { KeyScopeKind } from '../key-scope.js';
import { declarePlaintext, type PlaintextColumnOptions, type PlaintextDeclaration } from './plaintext-column.js';
import { refuseUntilInstalled } from './refuse-until-installed.js';

export interface EncryptedColumnOptions {
  /** What the property holds; bound in every cell. Default `string`. */
  readonly type?: ValueType;
  /**
   * Hides the length of strings, JSON and buffers up to a multiple of so many bytes, 2 to 65,536. The number may be changed at any time; whether
   * there is one may not, once rows are written.
   */
  readonly padTo?: number;
  /** The column's name in the associated data, for ever. Default: the property; set it before the property is renamed. */
  readonly columnId?: string;
  /**
   * Lets the column be searched for equal values, by a blind index in a column beside it: whoever reads the database sees which
   * rows have equal values. Not for booleans, JSON, or columns of few distinct values.
   */
  readonly searchable?: boolean | SearchableOptions;
  /** Name of the database column. */
  readonly name?: string;
  /**
   * true: null is stored as NULL, which shows that a value is missing. 'encrypted': null has a cell as every value has, a NULL in the database is
   * an error, and conditions cannot ask for null; strings, JSON and buffers need `padTo`. Default false. Whether it is 'encrypted' cannot be
   * changed once rows are written.
   */
  readonly nullable?: boolean | 'encrypted';
  /** As of `@Column()`. */
  readonly select?: boolean;
  /** As of `@Column()`. */
  readonly insert?: boolean;
  /** As of `@Column()`. */
  readonly update?: boolean;
  /** As of `@Column()`. */
  readonly comment?: string;
  /** While a column of plaintext is being encrypted, or the other way round: that column, and how far it has come. */
  readonly plaintext?: PlaintextColumnOptions;
}

export interface SearchableOptions {
  /** What counts as the same text. Default `exact`. It cannot be changed once rows are written. */
  readonly normalize?: Normalization;
  /** Makes the database refuse a second row of the same value. */
  readonly unique?: boolean;
}

export interface EncryptedEntityOptions {
  /** The table's name in the associated data, for ever. Default: the entity's name; set it before the class is renamed. */
  readonly tableId?: string;
  /**
   * pk (default): a cell decrypts in the row it was written for, and in no other.
   * none: cells may be moved between rows of their column, so an upsert on any key and an update of the primary key are possible,
   * and whoever can write to the database can exchange them unnoticed. It cannot be changed once rows are written.
   */
  readonly rowBinding?: 'pk' | 'none';
  /**
   * table (default): the cells of a table have one data key. column: each of its columns has its own; `reencrypt` moves rows from the one to
   * the other. tenant: each tenant has its own, is written, read and searched inside its context only (the option `tenant`), and can be
   * shredded; that cannot be changed once rows are written.
   */
  readonly keyScope?: KeyScopeKind;
  /**
   * With `keyScope: 'tenant'`: the property that says whose a row is, a plain column that never changes. Rows are then written and read by
   * what they say also outside of a context, and inside one must say the same. Compared as text.
   */
  readonly tenantColumn?: string;
  /**
   * Makes the database refuse what is no cell, by CHECK constraints that come out of `migration:generate`. Default false: they stand in
   * the way while plaintext is being encrypted.
   */
  readonly check?: boolean;
}

export interface EncryptedColumnDeclaration {
  readonly type: ValueType;
  readonly columnId?: string;
  readonly padTo?: number;
  /** Whether null has a cell. */
  readonly encryptsNull: boolean;
  readonly search?: SearchDeclaration;
  readonly plaintext?: PlaintextDeclaration;
}

export interface SearchDeclaration {
  readonly normalization: Normalization;
  /** The property that the column of the blind index has, and no entity. */
  readonly property: string;
}

// Of the global registry: two copies of this library read each other's declarations.
const columnsKey = Symbol.for('@nest-hsm/data-encryption:columns');
const entityKey = Symbol.for('@nest-hsm/data-encryption:entity');

/**
 * A text column whose values are encrypted: `@EncryptedColumn() name: string`. It takes the place of `@Column()` and only
 * records what is wanted. A data source without `withDataEncryption` refuses to write or read such a column.
 */
export function EncryptedColumn(options: EncryptedColumnOptions = {}): PropertyDecorator {
  const { type = 'string', columnId, searchable, padTo, plaintext: given, nullable, ...columnOptions } = options;
  const encryptsNull = nullable === 'encrypted';
  return (prototype, property) => {
    const search = searchable ? declareIndex(prototype, property, searchable, columnOptions) : undefined;
    const plaintext = given && declarePlaintext(prototype, property, given);
    const physical = { type: 'text', transformer: refuseUntilInstalled } as const;
    const cells = { ...columnOptions, nullable: nullable === true, ...plaintext?.cells, ...physical };
    const cellProperty = plaintext?.cellProperty ?? property;
    const declarations = ownDeclarations(prototype.constructor);
    declarations.set(String(cellProperty), {
      type,
      columnId: columnId ?? String(property),
      padTo,
      encryptsNull,
      search,
      plaintext: plaintext?.declaration,
    });
    Reflect.defineMetadata(columnsKey, declarations, prototype.constructor);
    Column(cells)(prototype, cellProperty);
  };
}

/** The column of a blind index: `emailBlindIndex` beside `email`, `mail_blind_index` beside a column named `mail`. */
function declareIndex(
  prototype: object,
  property: string | symbol,
  searchable: true | SearchableOptions,
  { name }: EncryptedColumnOptions,
): SearchDeclaration {
  const { normalize: normalization = 'exact', unique = false } = searchable === true ? {} : searchable;
  const indexProperty = `${String(property)}BlindIndex`;
  Column({
    type: 'varchar',
    length: indexCharacters,
    // A row may be older than its index.
    nullable: true,
    select: false,
    transformer: refuseUntilInstalled,
    ...(name === undefined ? {} : { name: `${name}_blind_index` }),
  })(prototype, indexProperty);
  Index({ unique })(prototype, indexProperty);
  return { normalization, property: indexProperty };
}

/** Says how the cells of an entity are bound, beside `@Entity()`. */
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

// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- any class
function ownDeclarations(target: Function): Map<string, EncryptedColumnDeclaration> {
  const declarations = Reflect.getOwnMetadata(columnsKey, target) as
    Map<string, EncryptedColumnDeclaration> | undefined;
  return declarations ?? new Map<string, EncryptedColumnDeclaration>();
}
