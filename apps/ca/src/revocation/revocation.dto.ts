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

  /**
   * Revokes the other certificates of the same key too, at most 100 at a time; with the reason `keyCompromise`. Refused as a whole when
   * the caller may not revoke each of them.
   */
  sameKey?: boolean;
}

/** The other certificates of a key that was reported as compromised. */
export class SameKeyDto {
  /** Serials of those that were revoked along with it. */
  revoked: string[];

  /** How many are still in force: revoke them with `sameKey`, again if need be. */
  remaining: number;
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

  /** In the answer to a revocation for `keyCompromise`. */
  sameKey?: SameKeyDto;
}
