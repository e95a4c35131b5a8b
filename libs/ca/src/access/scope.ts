/** What somebody may do. A scope implies no other. */
export const scopes = [
  /** Ask for certificates and renew one's own. */
  'certificates:issue',
  /** Search and download certificates. */
  'certificates:read',
  'certificates:revoke',
  /** Decide about orders of others that wait for approval. */
  'certificates:approve',
  /** Create, list and revoke API tokens. */
  'admin:tokens',
] as const;
export type Scope = (typeof scopes)[number];

/** What a credential stands for: what its holder may do, and under which profiles. */
export interface Grant {
  readonly scopes: readonly Scope[];
  /** Profiles its holder may ask for; absent: any. Which names is the name policy's to say. */
  readonly profiles?: readonly string[];
}
