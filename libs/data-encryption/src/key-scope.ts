/**
 * Which cells a data key is for. table: all of a table · column: one column of it · tenant: one tenant's rows of it, so that what a
 * tenant has can be shredded.
 */
export const keyScopeKinds = ['table', 'column', 'tenant'] as const;
export type KeyScopeKind = (typeof keyScopeKinds)[number];

export interface KeyScope {
  /** The logical table. */
  readonly tableId: string;
  /** Empty: all of its columns. */
  readonly columnId: string;
  /** Empty: no tenant's. */
  readonly tenant: string;
}

export function tableScope(tableId: string): KeyScope {
  return { tableId, columnId: '', tenant: '' };
}

/** A text that no other scope has. */
export function scopeKey({ tableId, columnId, tenant }: KeyScope): string {
  return JSON.stringify([tableId, columnId, tenant]);
}

/** For errors. Which tenant it is stays unsaid: it may be a person. */
export function scopeName({ tableId, columnId, tenant }: KeyScope): string {
  return tableId + (columnId === '' ? '' : `.${columnId}`) + (tenant === '' ? '' : ' for a tenant');
}
