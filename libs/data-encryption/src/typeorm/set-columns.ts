import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { ColumnCipher } from '../column-cipher.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import type { Installation } from './installation.js';
import type { UpdateInternals } from './internals.js';
import { refuse } from './refusal.js';

/** A column that an update sets; columns are known for entities only. */
export interface SetColumn {
  readonly column?: ColumnMetadata;
  readonly value: unknown;
}

/** What an update sets, shadows among it. */
export function valuesSet(
  { shadows }: Installation,
  builder: UpdateInternals,
  metadata: EntityMetadata | undefined,
): readonly SetColumn[] {
  const given = Object.entries(builder.getValueSet()).filter(([, value]) => value !== undefined);
  if (metadata === undefined) return given.map(([, value]) => ({ value: value as unknown }));
  const paths = builder.createPropertyPath(metadata, Object.fromEntries(given));
  const columns = new Set(paths.flatMap((path) => metadata.findColumnsWithPropertyPath(path)));
  const shadow = [...columns].find((column) => shadows.has(column));
  if (shadow !== undefined) refuse(`${metadata.name}.${shadow.propertyPath}`, 'shadowUpdate');
  return [...columns, ...shadows.of(columns)].map((column) => ({
    column,
    value: column.getEntityValue(builder.getValueSet()) as unknown,
  }));
}

/** Of each cell that is set. */
export function ciphersSet(set: readonly SetColumn[], { ciphers }: EncryptedEntity): readonly ColumnCipher[] {
  return set.flatMap(({ column, value }) => {
    const cipher = column && ciphers.get(column);
    return cipher?.hasCell(value) ? cipher : [];
  });
}

/** Cells, also those that become NULL, and the column that says whose the row is. */
export function setsWhatIsATenants(set: readonly SetColumn[], { tenantColumn, ciphers }: EncryptedEntity): boolean {
  if (tenantColumn === undefined) return false;
  return set.some(({ column }) => column !== undefined && (column === tenantColumn.column || ciphers.has(column)));
}
