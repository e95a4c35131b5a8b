/** A request that waits, or waited, for approval. */
export class OrderDto {
  /** @example '4f1d0c9a6b2e47d3a85c1e90f7b36d24' */
  id: string;

  /** `pending`, `expired`, `approved` or `refused`. */
  state: string;

  profile: string;
  requester: string;

  /**
   * What would be certified: names, every attribute of the subject, and the SHA-256 of the SubjectPublicKeyInfo.
   * @example ['cn:www.example.test', 'dns:www.example.test', 'subject:commonName=www.example.test', 'key:sha256:…']
   */
  names: string[];

  /** RFC 3339. */
  createdAt: string;
  expiresAt: string;
  decidedBy?: string;
  decidedAt?: string;

  /** Why it was refused. */
  reason?: string;

  /** Of the certificate, once it is issued: `GET /v1/certificates/{serial}`. */
  serial?: string;
}

export class OrderListDto {
  /** The oldest first. */
  orders: OrderDto[];
  /** Value of `after` for the next page; absent on the last one. */
  next?: string;
}

export class RefusalDto {
  /** At most 1000 characters. */
  reason?: string;
}
