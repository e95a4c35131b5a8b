import type { StoredSecret } from '../access/api-token.js';
import type { Grant } from '../access/scope.js';

export interface ApiTokenRecord extends StoredSecret, Grant {
  readonly name: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date;
  readonly revokedAt?: Date;
}

/** What the CA needs of a database for API tokens. Every method is one statement, committed when it returns. */
export interface ApiTokenStore {
  insert(token: ApiTokenRecord): Promise<void>;
  find(id: string): Promise<ApiTokenRecord | undefined>;
  /** Newest first. */
  list(): Promise<ApiTokenRecord[]>;
  /** Keeps the time of the first revocation. @returns false when there is no such token */
  revoke(id: string, at: Date): Promise<boolean>;
}
