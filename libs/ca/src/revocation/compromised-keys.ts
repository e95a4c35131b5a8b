import { CaError } from '../errors.js';
import type { CertificateStore } from '../store/certificate-store.js';
import type { RevocationRecord } from '../store/revocation-store.js';
import { mayRevoke, type Revocations, type RevokeOptions } from './revocations.js';

export interface RevokeKeyOptions extends RevokeOptions {
  /**
   * The other certificates of the same key too, whoever issued them: those in force, on hold or unfinished. Wants the reason keyCompromise
   * or cACompromise.
   */
  readonly sameKey?: boolean;
}

/** What became of the other certificates of a key that was reported as compromised. */
export interface SameKey {
  /** Serials, ascending; at most 100. */
  readonly revoked: readonly string[];
  /** How many there still are in force. More than none with `sameKey`: there was no time for them, ask again. */
  readonly remaining: number;
}

/** `sameKey` is there when the reason says that the key was compromised. */
export type Revoked = RevocationRecord & { readonly sameKey?: SameKey };

export interface CompromisedKeysContext {
  readonly certificates: CertificateStore;
  readonly revocations: Revocations;
  /** Whether an issuer is in service. */
  readonly isInService: (issuerId: string) => boolean;
  readonly now: () => Date;
}

const maximumRevoked = 100;
/** A revocation signs OCSP responses, and an HSM that is away lets each of them wait. */
const revokingMilliseconds = 20_000;

/**
 * Revokes certificates together with what else their key has. A key that was compromised takes every certificate with it (CABF BR
 * §4.9.1.1); it is not certified again, so what is found after the first revocation is all there is.
 */
export class CompromisedKeys {
  constructor(private readonly context: CompromisedKeysContext) {}

  /**
   * Revokes a certificate, and with `sameKey` as many others of its key as there is time for: asked for again, it goes on.
   * @throws {CaError} as `Revocations.revoke`; ERR_CA_REVOCATION_INVALID for `sameKey` with a reason that is none of a key;
   * ERR_CA_REVOCATION_FORBIDDEN when they may not revoke each of the others, and then none is revoked
   */
  async revoke(serial: string, { sameKey = false, ...options }: RevokeKeyOptions = {}): Promise<Revoked> {
    const isOfKey = options.reason === 'keyCompromise' || options.reason === 'cACompromise';
    if (sameKey && !isOfKey)
      throw new CaError(
        'ERR_CA_REVOCATION_INVALID',
        `reason: want keyCompromise or cACompromise to revoke what has the same key, got ${JSON.stringify(String(options.reason ?? 'unspecified').slice(0, 64))}`,
      );
    const { revocations } = this.context;
    if (!isOfKey) return revocations.revoke(serial, options);
    const keyId = await revocations.keyOf(serial, options);
    if (sameKey) await this.#assertMayRevokeAll(keyId, options);
    const record = await revocations.revoke(serial, options);
    const revoked = sameKey ? await this.#revokeOthers(keyId, options) : [];
    return { ...record, sameKey: { revoked, remaining: await this.#remaining(keyId) } };
  }

  async #revokeOthers(keyId: string, options: RevokeOptions): Promise<string[]> {
    const { certificates, revocations, now } = this.context;
    const endsAt = performance.now() + revokingMilliseconds;
    // One more may have been issued since.
    await this.#assertMayRevokeAll(keyId, options);
    const revoked: string[] = [];
    for (const serial of await certificates.listOfKey(keyId, now(), maximumRevoked)) {
      if (performance.now() > endsAt) break;
      await revocations.revoke(serial, options);
      revoked.push(serial);
    }
    return revoked;
  }

  async #remaining(keyId: string): Promise<number> {
    const { certificates, now } = this.context;
    return total(await certificates.countOfKey(keyId, now()));
  }

  /** Says how many others there are, and nothing else of what they may not revoke. @throws {CaError} ERR_CA_REVOCATION_FORBIDDEN */
  async #assertMayRevokeAll(keyId: string, who: RevokeOptions): Promise<void> {
    const { certificates, isInService, now } = this.context;
    const counts = await certificates.countOfKey(keyId, now());
    const forbidden = total(counts.filter((each) => !mayRevoke(each, who) || !isInService(each.issuerId)));
    if (forbidden > 0)
      throw new CaError(
        'ERR_CA_REVOCATION_FORBIDDEN',
        `certificates of the same key: want only those that ${who.requester ?? 'application'} may revoke, got ${forbidden} other${forbidden === 1 ? '' : 's'}; ` +
          'revoke this one alone, and have the others revoked by who may',
      );
  }
}

function total(counts: readonly { readonly certificates: number }[]): number {
  return counts.reduce((sum, { certificates }) => sum + certificates, 0);
}
