/** An application has fewer statements; one that writes values into their text makes room for others. */
const mostTexts = 256;
const mostCharacters = 4_096;

/** What depends on a piece of SQL alone: applications send the same few again and again. */
export class SqlMemo<T> {
  readonly #made = new Map<string, T>();

  /** @param make  is pure */
  constructor(private readonly make: (sql: string) => T) {}

  of(sql: string): T {
    const known = this.#made.get(sql);
    if (known !== undefined) return known;
    const made = this.make(sql);
    if (sql.length > mostCharacters) return made;
    if (this.#made.size >= mostTexts) this.#made.clear();
    this.#made.set(sql, made);
    return made;
  }
}
