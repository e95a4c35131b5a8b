import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { HsmKey } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import type { IssuerToken } from './issuer.js';

/** What the key in use is derived from, on the token. */
const derivation = Buffer.from('nest-hsm ca: seals of decisions, 1', 'latin1');

export type Decision = 'certificate' | 'order';

/**
 * Tells what this CA has decided from what somebody wrote into its database: an HMAC-SHA-256 (RFC 2104) over each decision, whose key
 * is itself the HMAC of a fixed text by a key that never leaves the token. So the token is asked once by each process, and a certificate
 * costs none of its time.
 */
export class DecisionSeals {
  readonly #key: KeyObject;

  private constructor(key: Buffer) {
    this.#key = createSecretKey(key);
  }

  /**
   * Finds the key on the token, or makes it; callers take turns, since labels are not unique there.
   * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when there are several that are no versions of each other
   * @throws {HsmError} when the token has no HMAC, or a policy does not allow it
   */
  static async open(token: IssuerToken, label: string): Promise<DecisionSeals> {
    const key = await token.mac(await sealKey(token, label), derivation);
    try {
      return new DecisionSeals(key);
    } finally {
      key.fill(0);
    }
  }

  /** @returns 64 hexadecimal digits */
  seal(decision: Decision, parts: readonly (string | Uint8Array)[]): string {
    return this.#mac(decision, parts).toString('hex');
  }

  /** Whether these very parts were sealed by this CA. */
  isSealed(seal: string | undefined, decision: Decision, parts: readonly (string | Uint8Array)[]): boolean {
    const expected = this.#mac(decision, parts);
    const given = Buffer.from(seal ?? '', 'hex');
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  /** Each part with its length before it, so that no two lists have the same octets. */
  #mac(decision: Decision, parts: readonly (string | Uint8Array)[]): Buffer {
    const mac = createHmac('sha256', this.#key);
    // Each update costs as much as all these octets: texts go in together.
    let text = '';
    for (const part of [decision, ...parts]) {
      if (typeof part === 'string') {
        text += `${Buffer.byteLength(part)}:${part}`;
        continue;
      }
      mac.update(`${text}${part.length}:`).update(part);
      text = '';
    }
    mac.update(text);
    return mac.digest();
  }
}

/**
 * The first version there is. One that `nest-hsm key rotate` adds is not used: replicas that started before would not know what it sealed, nor
 * those after it what waits, and recovery would revoke it.
 */
async function sealKey(token: IssuerToken, label: string): Promise<HsmKey> {
  const keys = await token.listKeys({ label, usage: 'mac' });
  const first = Math.min(...keys.map(({ version }) => version));
  const [key, ...others] = keys.filter(({ version }) => version === first);
  if (others.length > 0)
    throw new CaError('ERR_CA_ISSUER_UNUSABLE', `seal key ${label}: want one on the token, got ${others.length + 1}`);
  return key ?? token.generateSecretKey({ label, algorithm: 'hmac-sha256', usage: 'mac' });
}
