import type { ProblemDto } from '../problem/problem.dto.js';
import type { OrderDto } from '../orders/order.dto.js';
import type { IssueRequestDto } from './certificate.dto.js';

export class BatchRequestDto {
  /** 1 to 500 requests, together at most 1 MiB. */
  requests: IssueRequestDto[];

  /** The profile of requests that name none. */
  profile?: string;
}

export class BatchCertificateDto {
  serial: string;
  /** The certificate in PEM. */
  certificate: string;
  /** Key of its chain in `chains`. */
  issuer: string;
  /** RFC 3339. */
  notAfter: string;
}

/** What became of one request: exactly one of the three. */
export class BatchResultDto {
  certificate?: BatchCertificateDto;
  /** It waits for approval. */
  order?: OrderDto;
  problem?: ProblemDto;
}

export class BatchDto {
  /** In the order of the requests. */
  results: BatchResultDto[];
  /** By issuer: its certificate in PEM, and those above it except the root. */
  chains: Record<string, string[]>;
}
