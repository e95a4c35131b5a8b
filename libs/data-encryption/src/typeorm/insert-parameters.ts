import type { ObjectLiteral } from 'typeorm';

/** By number. A statement has at most 65,535, and the next one has the same. */
const names: string[] = [];

/**
 * Parameters as `QueryBuilder.createParameter` makes them, for those that are most of a statement. Names that nobody else gives need not be
 * looked for among thousands, nor be made anew each time: either takes as long as to encrypt a cell.
 */
export class InsertParameters {
  #count = 0;

  constructor(private readonly expressionMap: { readonly parameters: ObjectLiteral }) {}

  /** @returns what stands for the value in the statement */
  add(value: unknown): string {
    const number = this.#count++;
    const name = (names[number] ??= `nest_hsm_value_${number}`);
    this.expressionMap.parameters[name] = value;
    return `:${name}`;
  }
}
