import { Column, type ColumnOptions, type ColumnType } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { refuseUntilInstalled } from './refuse-until-installed.js';

/**
 * How far a column has come from plaintext to cells. Each phase is a deployment, and each can go back to the one before.
 * dual-write: the property is read from the plaintext column; whatever writes it writes its cell too.
 * switched: it is read from its cell; whatever writes it writes the plaintext column too.
 * contract: it is read from its cell; whatever writes it makes the plaintext NULL.
 */
export type PlaintextPhase = 'dual-write' | 'switched' | 'contract';

/** What `@Column()` said of the column while it was plaintext, and its name in the database. */
export interface PlaintextColumnOptions extends Omit<ColumnOptions, 'insert' | 'name' | 'select' | 'type' | 'update'> {
  readonly phase: PlaintextPhase;
  /** Another name than that of the column of cells. */
  readonly name: string;
  readonly type: ColumnType;
}

export interface PlaintextDeclaration {
  readonly phase: PlaintextPhase;
  /** The property that the user's class has. */
  readonly property: string;
  /** The property of the plaintext column: the same, or one that no entity has. */
  readonly plaintextProperty: string;
  /** What the values of the plaintext column pass through. */
  readonly transformer: ColumnOptions['transformer'];
}

/** A column of plaintext beside the column of cells that takes its place, or the other way round. */
export interface PlaintextColumn {
  readonly phase: PlaintextPhase;
  readonly column: ColumnMetadata;
  readonly cells: ColumnMetadata;
  readonly transformer: ColumnOptions['transformer'];
}

interface DeclaredPlaintext {
  readonly declaration: PlaintextDeclaration;
  readonly cellProperty: string;
  /** What the column of cells is in this phase. */
  readonly cells: Pick<ColumnOptions, 'nullable' | 'select'>;
}

/** Makes the plaintext column: as the property in the phase that reads it, and later beside it. */
export function declarePlaintext(
  prototype: object,
  name: string | symbol,
  { phase, ...column }: PlaintextColumnOptions,
): DeclaredPlaintext {
  const property = String(name);
  const { transformer } = column;
  if (phase === 'dual-write') {
    Column({ ...column, transformer: refuseUntilInstalled })(prototype, property);
    const declaration = { phase, property, plaintextProperty: property, transformer };
    // Rows that nobody has written since have none.
    return { declaration, cellProperty: `${property}Cell`, cells: { nullable: true, select: false } };
  }
  const plaintextProperty = `${property}Plaintext`;
  const nullable = phase === 'contract' ? true : column.nullable;
  Column({ ...column, nullable, select: false })(prototype, plaintextProperty);
  return { declaration: { phase, property, plaintextProperty, transformer }, cellProperty: property, cells: {} };
}
