import { constants, createPublicKey, type KeyObject, verify, type VerifyKeyObjectInput } from 'node:crypto';
import { encodePem } from '../der/pem.js';
import type { CheckOutcome, SignatureCheck } from './signature-check.js';

/** More issuers than a process has in service. */
const maximumKept = 64;

/** Checks signatures where it is called, which takes some hundred microseconds each. */
export class SignatureChecker {
  readonly #kept = new Map<string, KeyObject>();

  check({ spki, isLasting, hash, isPss, octets, signature }: SignatureCheck): CheckOutcome {
    try {
      const key = isLasting ? this.#keptKey(spki) : loadPublicKey(spki);
      return verify(hash, octets, keyFor(isPss, key), signature) ? 'sound' : 'unsound';
    } catch {
      return 'key-unusable';
    }
  }

  #keptKey(spki: Uint8Array): KeyObject {
    const name = Buffer.from(spki).toString('latin1');
    let key = this.#kept.get(name);
    if (key === undefined) {
      key = loadPublicKey(spki);
      if (this.#kept.size >= maximumKept) this.#kept.clear();
      this.#kept.set(name, key);
    }
    return key;
  }
}

/** The key as its scheme is to use it. */
export function keyFor(isPss: boolean, key: KeyObject): KeyObject | VerifyKeyObjectInput {
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  return isPss ? { key, padding, saltLength } : key;
}

/** @param spki  DER @throws what OpenSSL says; for an EC point that is not on its curve, too */
export function loadPublicKey(spki: Uint8Array): KeyObject {
  // Node.js takes half the time for PEM that it takes for DER, which it first holds against every kind of key object.
  return createPublicKey(encodePem('PUBLIC KEY', Buffer.from(spki.buffer, spki.byteOffset, spki.length)));
}
