/** An API token to be made. */
export class CreateTokenDto {
  /**
   * Whom it is for; the requester is `token:NAME`.
   * @example 'build-server'
   */
  name: string;

  /** @example ['certificates:issue', 'certificates:read'] */
  scopes: string[];

  /** Profiles it may ask for; absent: any. */
  profiles?: string[];

  /**
   * RFC 3339, at most 366 days away; absent: in 90 days.
   * @example '2027-02-20T00:00:00Z'
   */
  expiresAt?: string;
}

export class TokenDto {
  /** @example '4f1d0c9a6b2e47d3' */
  id: string;
  name: string;
  scopes: string[];
  profiles?: string[];
  /** RFC 3339. */
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  revokedAt?: string;
}

export class CreatedTokenDto extends TokenDto {
  /** The token itself. Nobody can be told again. */
  token: string;
}

export class TokenListDto {
  /** The newest first. */
  tokens: TokenDto[];
}
