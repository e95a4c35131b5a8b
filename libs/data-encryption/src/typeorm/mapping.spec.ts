import {
  Check,
  ChildEntity,
  Column,
  DataSource,
  Entity,
  Generated,
  Index,
  JoinColumn,
  ManyToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  TableInheritance,
  Unique,
  ViewColumn,
  ViewEntity,
  VirtualColumn,
} from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { withDataEncryption } from './data-encryption.js';
import { EncryptedColumn, EncryptedEntity, type EncryptedEntityOptions } from './decorators.js';

type Class = new () => object;

/** A class per fault, declared where it stands: TypeORM registers each by its class. */
function entity(build: () => Class): Class {
  return build();
}

/** Two entities of one tableId. */
function pair(property: string, second: EncryptedEntityOptions = {}, table?: string): () => Class[] {
  return () => {
    @Entity(table)
    @EncryptedEntity({ tableId: 'same' })
    class One {
      @PrimaryGeneratedColumn('uuid') id: string;
      @EncryptedColumn() secret: string;
    }
    @Entity(table)
    @EncryptedEntity({ tableId: 'same', ...second })
    class Two {
      @PrimaryGeneratedColumn('uuid') id: string;
    }
    EncryptedColumn()(Two.prototype, property);
    return [One, Two];
  };
}

type Faulty = readonly [string, () => Class | Class[], RegExp];

const faulty: readonly Faulty[] = [
  [
    'no primary key it can bind to',
    () =>
      entity(() => {
        @Entity()
        class Dated {
          @PrimaryColumn({ type: 'datetime' }) id: Date;
          @EncryptedColumn() secret: string;
        }
        return Dated;
      }),
    /Dated: primary key id: want uuid, text or integer, got datetime; the way out is a uuid primary key/,
  ],
  [
    'a key with a collation',
    () =>
      entity(() => {
        @Entity()
        class Collated {
          @PrimaryColumn({ type: 'text', collation: 'NOCASE' }) id: string;
          @EncryptedColumn() secret: string;
        }
        return Collated;
      }),
    /Collated: primary key id: want no collation/,
  ],
  [
    'a key with a transformer',
    () =>
      entity(() => {
        const transformer = { to: (value: unknown) => value, from: (value: unknown) => value };
        @Entity()
        class Transformed {
          @PrimaryColumn({ type: 'text', transformer }) id: string;
          @EncryptedColumn() secret: string;
        }
        return Transformed;
      }),
    /Transformed: primary key id: want no transformer/,
  ],
  [
    'an encrypted primary key',
    () =>
      entity(() => {
        @Entity()
        class Keyed {
          @EncryptedColumn() @PrimaryColumn({ type: 'text' }) id: string;
        }
        return Keyed;
      }),
    /Keyed\.id: want a plain column, got a primary key/,
  ],
  [
    'two column decorators',
    () =>
      entity(() => {
        @Entity()
        class Twice {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn() @Column() secret: string;
        }
        return Twice;
      }),
    /Twice\.secret: want @EncryptedColumn to make the column/,
  ],
  [
    'an index',
    () =>
      entity(() => {
        @Entity()
        class Indexed {
          @PrimaryGeneratedColumn('uuid') id: string;
          @Index() @EncryptedColumn() secret: string;
        }
        return Indexed;
      }),
    /Indexed\.secret: want no index or unique constraint/,
  ],
  [
    'a unique constraint',
    () =>
      entity(() => {
        @Entity()
        @Unique(['secret'])
        class Only {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn() secret: string;
        }
        return Only;
      }),
    /Only\.secret: want no index or unique constraint/,
  ],
  [
    'a searchable boolean',
    () =>
      entity(() => {
        @Entity()
        class Yes {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type: 'boolean', searchable: true }) secret: boolean;
        }
        return Yes;
      }),
    /Yes\.secret: want a searchable column of many values, got a boolean/,
  ],
  [
    'a normalized number',
    () =>
      entity(() => {
        @Entity()
        class Count {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type: 'number', searchable: { normalize: 'digits' } }) secret: number;
        }
        return Count;
      }),
    /Count\.secret: want normalization exact for number, got digits/,
  ],
  ...(
    [
      ['number', 8],
      ['string', 1],
      ['string', 2.5],
      ['string', 65_537],
    ] as const
  ).map(([type, padTo]): Faulty => [
    `padding a ${type} to ${padTo}`,
    () =>
      entity(() => {
        @Entity()
        class Padded {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type, padTo }) secret: unknown;
        }
        return Padded;
      }),
    /Padded\.secret: want padTo of 2 to 65536 for a string, json or buffer, got/,
  ]),
  ...(['string', 'json', 'buffer'] as const).map((type): Faulty => [
    `an encrypted null of a ${type} of any length`,
    () =>
      entity(() => {
        @Entity()
        class Shown {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type, nullable: 'encrypted' }) secret: unknown;
        }
        return Shown;
      }),
    new RegExp(`Shown\\.secret: want padTo for ${type} beside nullable 'encrypted', got none`),
  ]),
  [
    'an encrypted null that is not inserted',
    () =>
      entity(() => {
        @Entity()
        class Late {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type: 'date', nullable: 'encrypted', insert: false }) secret: Date | null;
        }
        return Late;
      }),
    /Late\.secret: want nullable 'encrypted' of a column that is inserted, got insert false/,
  ],
  [
    'an encrypted null of a child entity',
    () => {
      @Entity()
      @TableInheritance({ column: { type: 'varchar', name: 'kind' } })
      class Parent {
        @PrimaryGeneratedColumn('uuid') id: string;
        @EncryptedColumn({ type: 'date', nullable: 'encrypted' }) shared: Date | null;
      }
      @ChildEntity()
      class Child extends Parent {
        @EncryptedColumn({ type: 'date', nullable: 'encrypted' }) secret: Date | null;
      }
      return [Parent, Child];
    },
    /(?!.*shared).*Child\.secret: want nullable 'encrypted' of a column that every row has, got one of a child entity/,
  ],
  [
    'a check constraint over an encrypted null',
    () =>
      entity(() => {
        @Entity()
        @Check('secret IS NOT NULL OR id IS NOT NULL')
        class Known {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn({ type: 'date', nullable: 'encrypted' }) secret: Date | null;
        }
        return Known;
      }),
    /Known: want no check constraint over an encrypted column, got one over secret/,
  ],
  [
    'a check constraint over it',
    () =>
      entity(() => {
        @Entity()
        @Check('length(secret) > 3')
        class Checked {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn() secret: string;
        }
        return Checked;
      }),
    /Checked: want no check constraint over an encrypted column, got one over secret/,
  ],
  [
    'a virtual column over it',
    () =>
      entity(() => {
        @Entity()
        class Virtual {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn() secret: string;
          @VirtualColumn({ query: (alias) => `SELECT upper(${alias}.secret)` }) loud: string;
        }
        return Virtual;
      }),
    /Virtual: want no virtual column loud over an encrypted column/,
  ],
  [
    'a view',
    () =>
      entity(() => {
        @ViewEntity({ expression: 'SELECT 1 AS id' })
        class Viewed {
          @EncryptedColumn() secret: string;
        }
        return Viewed;
      }),
    /Viewed\.secret: want a table, got a view/,
  ],
  [
    'a relation to it',
    () => {
      @Entity()
      class Owner {
        @PrimaryGeneratedColumn('uuid') id: string;
        @EncryptedColumn() secret: string;
      }
      @Entity()
      class Owned {
        @PrimaryGeneratedColumn('uuid') id: string;
        @ManyToOne(() => Owner) @JoinColumn({ referencedColumnName: 'secret' }) owner: Relation<Owner>;
      }
      return [Owner, Owned];
    },
    /Owned: want foreign keys of plain columns, got the encrypted secret/,
  ],
  [
    'two tables of one id',
    pair('secret'),
    /Two\.secret: want a tableId, columnId and type of its own, got those or the database column of One\.secret/,
  ],
  ['two tables of one id and other columns', pair('other'), /Two: want a tableId of its own table, got that of One/],
  [
    'two entities of one table that bind cells otherwise',
    pair('secret', { rowBinding: 'none' }, 'one'),
    /Two: want one tableId, keyScope and rowBinding for a table, got others than One/,
  ],
  [
    'a property that is no word',
    () =>
      entity(() => {
        @Entity()
        class Dashed {
          @PrimaryGeneratedColumn('uuid') id: string;
          @EncryptedColumn() 'first-name': string;
        }
        return Dashed;
      }),
    /Dashed\.first-name: want a property name of letters, digits and _/,
  ],
  ...[
    `SELECT p.id, upper(p.secret) AS s FROM main.person AS p`,
    `SELECT id, "secret" AS s FROM person p, town`,
    `SELECT d.secret AS s FROM (SELECT * FROM person) d`,
    (dataSource: DataSource) => dataSource.createQueryBuilder().select('p.secret', 's').from(Person, 'p'),
  ].map((expression): (typeof faulty)[number] => [
    `a view: ${String(expression)}`,
    () => {
      @ViewEntity({ expression })
      class View {
        @ViewColumn() s: string;
      }
      return [Person, View];
    },
    /View: want no view over an encrypted column, got one over Person\.secret/,
  ]),
  [
    'a virtual column of another table',
    () => {
      @Entity()
      class Virtual {
        @PrimaryGeneratedColumn('uuid') id: string;
        @VirtualColumn({ query: () => 'SELECT max(p.secret) FROM person p' }) most: string;
      }
      return [Person, Virtual];
    },
    /Virtual: want no virtual column most over an encrypted column, got one over Person\.secret/,
  ],
];

@Entity()
class Person {
  @PrimaryGeneratedColumn('uuid') id: string;
  @EncryptedColumn({ nullable: true }) secret?: string;
}

const config = () => ({ hsm: new SoftwareKek(), kekLabel: 'kek', createKek: true, databaseId: 'test' });

describe('entities that cannot be encrypted', () => {
  it.each(faulty)('%s', async (_, make, message) => {
    const dataSource = new DataSource({ type: 'better-sqlite3', database: ':memory:', entities: [make()].flat() });
    withDataEncryption(dataSource, config());
    await expect(dataSource.initialize()).rejects.toMatchObject({
      code: 'ERR_DATA_MAPPING_INVALID',
      message: expect.stringMatching(message),
    });
    expect(dataSource.isInitialized).toBe(false);
  });

  it('are none where a view or a virtual column asks for plain columns of the same names', async () => {
    @ViewEntity({
      expression: `SELECT p.id, t.secret AS s FROM person p JOIN main.town AS t ON t.id = p.id WHERE p.secret IS NOT NULL`,
    })
    class View {
      @ViewColumn() s: string;
    }
    @Entity()
    class Town {
      @PrimaryGeneratedColumn('uuid') id: string;
      @Column({ type: 'text' }) secret: string;
      @VirtualColumn({ query: () => 'SELECT count(*) FROM person, town x WHERE x.secret > 0' }) count: string;
    }
    const entities = [Person, View, Town];
    const plain = new DataSource({ type: 'better-sqlite3', database: ':memory:', entities, synchronize: true });
    const dataSource = withDataEncryption(plain, config());
    await dataSource.initialize();
    expect(await dataSource.manager.find(View)).toEqual([]);
    await dataSource.destroy();
  });

  it('are all told together', async () => {
    @Entity()
    class Bad {
      @PrimaryColumn({ type: 'blob' })
      id: Buffer;

      @Index()
      @EncryptedColumn()
      one: string;

      @Index()
      @EncryptedColumn()
      two: string;
    }
    const dataSource = new DataSource({ type: 'better-sqlite3', database: ':memory:', entities: [Bad] });
    await expect(withDataEncryption(dataSource, config()).initialize()).rejects.toMatchObject({
      message: expect.stringMatching(/Bad\.one(.|\n)*Bad\.two(.|\n)*primary key id/),
    });
  });

  it('of a key with a default of the database the row is refused, not bound to nothing', async () => {
    @Entity()
    class Defaulted {
      @PrimaryColumn({ type: 'text' })
      @Generated('uuid')
      id: string;

      @PrimaryColumn({ type: 'text', default: 'x' })
      part: string;

      @EncryptedColumn()
      secret: string;
    }
    const dataSource = withDataEncryption(
      new DataSource({ type: 'better-sqlite3', database: ':memory:', entities: [Defaulted], synchronize: true }),
      config(),
    );
    await dataSource.initialize();
    await expect(dataSource.manager.insert(Defaulted, { secret: 'x' })).rejects.toMatchObject({
      code: 'ERR_DATA_OPERATION_REFUSED',
    });
    await dataSource.manager.insert(Defaulted, { part: 'y', secret: 'x' });
    expect(await dataSource.manager.find(Defaulted)).toMatchObject([{ part: 'y', secret: 'x' }]);
    await dataSource.destroy();
  });
});
