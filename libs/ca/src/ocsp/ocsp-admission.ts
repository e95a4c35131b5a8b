/** Signatures that are made at once because somebody asked; who comes on top is told to try later. */
const maximumSigning = 32;
/** Of them, for those who want one of their own: anybody may ask, and issuance waits for the same HSM. */
const maximumSigningForOne = 8;
/** Questions to the database at once. */
const maximumLookups = 64;

/** What one asker may still cost. Anybody may ask, so whoever serves them keeps count of it by where they ask from. */
export interface OcspAllowance {
  readonly isSpent: boolean;
  /** A signature is made for them, or there is no such certificate. */
  spend(): void;
}

/** Too much to do, for this asker or altogether: theirs to know (`tryLater`), no failure of ours. */
export class OcspBusy extends Error {
  override readonly name = 'OcspBusy';
}

/** Keeps those who ask from taking the HSM and the database away from issuance. */
export class OcspAdmission {
  #signing = 0;
  #lookups = 0;

  /** A response to be kept for everybody. @throws {OcspBusy} and what `work` throws */
  async sign<T>(allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
    return this.#sign(maximumSigning, allowance, work);
  }

  /** A response for this asker alone. @throws as `sign` */
  async signForOne<T>(allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
    return this.#sign(maximumSigningForOne, allowance, work);
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

  async #sign<T>(maximum: number, allowance: OcspAllowance | undefined, work: () => Promise<T>): Promise<T> {
    assertLeft(allowance);
    if (this.#signing >= maximum) throw new OcspBusy(`OCSP: want at most ${maximum} signatures at once`);
    allowance?.spend();
    this.#signing += 1;
    try {
      return await work();
    } finally {
      this.#signing -= 1;
    }
  }
}

/** @throws {OcspBusy} */
export function assertLeft(allowance: OcspAllowance | undefined): void {
  if (allowance?.isSpent === true) throw new OcspBusy('OCSP: want an asker who has something left, got another');
}
