import type { ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { EncryptedEntities } from './encrypted-entity.js';
import type { PlaintextColumn } from './plaintext-column.js';

/**
 * Columns that are written whenever another one is, its source, and never read: the cells of a column that is still read as
 * plaintext, and the plaintext of one that is read from its cells. No entity has them.
 */
export class ShadowColumns {
  readonly #bySource: ReadonlyMap<ColumnMetadata, ColumnMetadata>;
  readonly #shadows: ReadonlySet<ColumnMetadata>;

  constructor(entities: EncryptedEntities) {
    const plaintexts = [...entities.values()].flatMap((entity) => [...entity.plaintexts.values()]);
    this.#bySource = new Map(
      plaintexts.map((each) => (each.phase === 'dual-write' ? [each.column, each.cells] : [each.cells, each.column])),
    );
    this.#shadows = new Set(this.#bySource.values());
    for (const each of plaintexts) follow(each);
  }

  has(column: ColumnMetadata): boolean {
    return this.#shadows.has(column);
  }

  /** The shadows of those columns that have one. */
  of(columns: Iterable<ColumnMetadata>): readonly ColumnMetadata[] {
    if (this.#bySource.size === 0) return [];
    return [...columns].flatMap((column) => this.#bySource.get(column) ?? []);
  }
}

/** Makes TypeORM see the source's value in the shadow, and set the shadow in no entity. */
function follow({ phase, column, cells, transformer }: PlaintextColumn): void {
  const [source, shadow] = phase === 'dual-write' ? [column, cells] : [cells, column];
  column.transformer = transformer;
  shadow.isVirtual = true;
  shadow.setEntityValue = () => undefined;
  shadow.getEntityValue = (entity: ObjectLiteral) => {
    const value = source.getEntityValue(entity) as unknown;
    return phase === 'contract' && value !== undefined ? null : value;
  };
}
