/** `pending` becomes `approved` or `refused`, once; one whose time is over becomes neither. */
export type OrderState = 'pending' | 'approved' | 'refused';

/** A request that waits for somebody's approval. */
export interface OrderRecord {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly state: OrderState;
  readonly profile: string;
  /** As it was when the request came. */
  readonly profileVersion: string;
  readonly requester: string;
  /** DER. */
  readonly csr: Buffer;
  /** What would be certified, for whoever decides: names, subject and key, as `CertificateAuthority.inspect` says them. */
  readonly names: readonly string[];
  /** SHA-256 of requester and idempotency key, in hexadecimal. */
  readonly idempotencyKey?: string;
  readonly requestSha256?: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly decidedBy?: string;
  readonly decidedAt?: Date;
  /** Why it was refused. */
  readonly reason?: string;
  /** Of the certificate, once it is issued. */
  readonly serial?: string;
  /** Shows that this CA placed it, and what it then said. */
  readonly seal?: string;
}

export interface OrderDecision {
  readonly id: string;
  readonly state: 'approved' | 'refused';
  readonly decidedBy: string;
  readonly decidedAt: Date;
  readonly reason?: string;
}

export interface PendingOrdersQuery {
  /** The last one of the page before. */
  readonly after?: Pick<OrderRecord, 'createdAt' | 'id'>;
  /** Any, when absent. */
  readonly profiles?: ReadonlySet<string>;
}

/** What the CA needs of a database for orders. Every method is one statement, committed when it returns. */
export interface OrderStore {
  /** @returns false when the idempotency key is taken */
  insert(order: OrderRecord): Promise<boolean>;
  find(id: string): Promise<OrderRecord | undefined>;
  findByIdempotencyKey(key: string): Promise<OrderRecord | undefined>;
  /** The key of an order may be that of another one. */
  forgetIdempotencyKey(id: string): Promise<void>;
  /** Pending orders that have not expired, the oldest first. */
  listPending(now: Date, limit: number, query: PendingOrdersQuery): Promise<OrderRecord[]>;
  /** Approved orders whose certificate is not known to be issued, the newest first. */
  listApproved(requester: string, profile: string, limit: number): Promise<OrderRecord[]>;
  countPending(requester: string, now: Date): Promise<number>;
  /** pending → approved or refused, before it expires and by somebody else than its requester. @returns false when it is not so */
  decide(decision: OrderDecision): Promise<boolean>;
  complete(id: string, serial: string): Promise<void>;
}
