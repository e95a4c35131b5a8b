export class RevocationRequestDto {
  /**
   * A reason of RFC 5280 §5.3.1: `unspecified`, `keyCompromise`, `cACompromise`, `affiliationChanged`, `superseded`,
   * `cessationOfOperation`, `certificateHold`, `privilegeWithdrawn`, `aACompromise`.
   * @example 'keyCompromise'
   */
  reason?: string;

  /**
   * Since when the key is suspected, RFC 3339.
   * @example '2026-11-22T11:00:00Z'
   */
  invalidityDate?: string;
}

export class StatusDto {
  /** @example '4f1d0c9a6b2e47d3a85c1e90f7b36d24' */
  serial: string;

  /** `good`, `revoked`, or `held`, which may still be released. */
  status: 'good' | 'revoked' | 'held';

  reason?: string;

  /** RFC 3339. */
  revokedAt?: string;

  /** RFC 3339. */
  invalidityDate?: string;
}
