import type { ColumnCipher } from '../column-cipher.js';
import type { CellKey } from '../data-key.js';
import { type KeyScope, scopeKey } from '../key-scope.js';
import { tenantMismatch } from '../tenant.js';

/** How many cells a statement has for each data key. */
export class KeyDemand {
  readonly #scopes = new Map<string, { readonly scope: KeyScope; messages: number }>();

  add(scope: KeyScope, messages: number): void {
    const key = scopeKey(scope);
    const demanded = this.#scopes.get(key);
    if (demanded === undefined) this.#scopes.set(key, { scope, messages });
    else demanded.messages += messages;
  }

  /** So many cells of each of some columns of one entity: of those that share a key the sum. */
  addCells(cells: readonly (readonly [cipher: ColumnCipher, messages: number])[], tenant: string): void {
    if (cells.length === 0) return;
    const [[first]] = cells;
    if (first.identity.keyScope === 'column') {
      for (const [cipher, messages] of cells) this.add(cipher.scope(tenant), messages);
    } else {
      let sum = 0;
      for (const [, messages] of cells) sum += messages;
      this.add(first.scope(tenant), sum);
    }
  }

  get isNone(): boolean {
    return this.#scopes.size === 0;
  }

  entries(): Iterable<{ readonly scope: KeyScope; readonly messages: number }> {
    return this.#scopes.values();
  }
}

/** The data keys that were reserved for the cells of a statement. */
export class StatementKeys {
  readonly #keys = new Map<string, CellKey>();

  add(scope: KeyScope, key: CellKey): void {
    this.#keys.set(scopeKey(scope), key);
  }

  /**
   * @param tenant  empty where cells are no tenant's
   * @throws {DataEncryptionError} ERR_DATA_TENANT_MISMATCH when a row has become another tenant's since
   */
  of(cipher: ColumnCipher, tenant: string): CellKey {
    const key = this.#keys.get(scopeKey(cipher.scope(tenant)));
    if (key === undefined) throw tenantMismatch(cipher.name);
    return key;
  }
}
