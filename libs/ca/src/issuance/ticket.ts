import { CaError } from '../errors.js';
import type { Profile } from '../profile/profile.js';
import type { SigningAuthority } from './issuer.js';
import { digestOf } from './signing.js';

/** What a ticket binds: one linted TBS to the profile, issuer and requester it was made for, until it expires. */
export interface TicketBinding {
  readonly serial: string;
  readonly authority: SigningAuthority;
  readonly profile: Profile;
  readonly requester: string;
  readonly notAfter: Date;
  /** Whoever asked may ask for this very certificate again. */
  readonly isAwaited: boolean;
  readonly expiresAt: Date;
}

/**
 * Leave to sign one linted TBS once. Only `prepare` makes tickets, nobody can change one, and it is redeemed twice over: here,
 * and by a conditional UPDATE of its row, so that no replica can redeem it again.
 */
export class IssuanceTicket {
  readonly #tbs: Buffer;
  readonly #digest: string;
  #redeemed = false;

  private constructor(
    readonly binding: TicketBinding,
    tbs: Buffer,
  ) {
    this.#tbs = tbs;
    this.#digest = digestOf(tbs);
    Object.freeze(binding);
    Object.freeze(this);
  }

  /** Called with octets that have just been linted. */
  static seal(binding: TicketBinding, linted: Buffer): IssuanceTicket {
    return new IssuanceTicket({ ...binding }, Buffer.from(linted));
  }

  /**
   * The octets to commit and sign, once.
   * @throws {CaError} ERR_CA_TICKET_REFUSED when it was redeemed before, has expired or does not hold what was linted
   */
  redeem(now: Date): { readonly tbs: Buffer; readonly digest: string } {
    const { serial, expiresAt } = this.binding;
    if (this.#redeemed)
      throw new CaError('ERR_CA_TICKET_REFUSED', `ticket ${serial}: want one not redeemed, got a redeemed one`);
    this.#redeemed = true;
    if (now >= expiresAt)
      throw new CaError(
        'ERR_CA_TICKET_REFUSED',
        `ticket ${serial}: want one redeemed before ${expiresAt.toISOString()}`,
      );
    if (digestOf(this.#tbs) !== this.#digest)
      throw new CaError('ERR_CA_TICKET_REFUSED', `ticket ${serial}: want the linted octets, got others`);
    return { tbs: this.#tbs, digest: this.#digest };
  }
}
