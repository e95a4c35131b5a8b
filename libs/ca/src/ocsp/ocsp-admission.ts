import { AskerTurns } from './asker-turns.js';
import { OcspBusy } from './ocsp-busy.js';

/** Questions to the database at once. */
const maximumLookups = 64;

/** What one asker may still cost. Anybody may ask, so whoever serves them keeps count of it by where they ask from. */
export interface OcspAllowance {
  /** Where they ask from: those who wait take turns by it. */
  readonly asker: string;
  readonly isSpent: boolean;
  /** When it is spent: until there is something left again. */
  readonly retryAfterSeconds: number;
  /** A signature is made for them, or there is no such certificate. */
  spend(): void;
}

/**
 * Keeps those who ask from taking the HSM and the database away from issuance and from each other. On the HSM all that is signed here
 * is `interactive`, which leaves issuance its share; here askers take turns. Responses that are kept for everybody have turns of their own,
 * so that nobody who wants a response for themselves alone keeps them waiting.
 */
export class OcspAdmission {
  readonly #forAll: AskerTurns;
  readonly #forOne: AskerTurns;
  #lookups = 0;

  /** @param sessions  of the HSM now, that is signatures it makes at once */
  constructor(sessions: () => number) {
    this.#forAll = new AskerTurns(sessions);
    this.#forOne = new AskerTurns(sessions);
  }

  /** A response to be kept for everybody. @throws {OcspBusy} and what `work` throws */
  async sign<T>(allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
    return take(this.#forAll, allowance, work);
  }

  /** A response for this asker alone, the look-up of what it is to say included. @throws as `sign` */
  async signForOne<T>(allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
    return take(this.#forOne, allowance, work);
  }

  /** @throws {OcspBusy} and what `work` throws */
  async lookUp<T>(work: () => Promise<T>): Promise<T> {
    if (this.#lookups >= maximumLookups) throw new OcspBusy(`OCSP: want at most ${maximumLookups} look-ups at once`);
    this.#lookups += 1;
    try {
      return await work();
    } finally {
      this.#lookups -= 1;
    }
  }
}

/** @throws {OcspBusy} */
export function assertLeft(allowance: OcspAllowance | undefined): void {
  if (allowance?.isSpent === true)
    throw new OcspBusy('OCSP: want an asker who has something left, got another', allowance.retryAfterSeconds);
}

/** Who is turned away for want of a place has cost nothing. */
function take<T>(turns: AskerTurns, allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
  assertLeft(allowance);
  const asker = allowance?.asker ?? '';
  turns.assertPlaceFor(asker);
  allowance?.spend();
  return turns.take(asker, work);
}
