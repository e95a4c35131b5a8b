import type { CallOptions, Hsm, HsmKey } from '@nest-hsm/hsm';
import { parseCertificateChain } from '../certificate-chain.js';
import { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';

/** What is asked of a key that is not there yet. */
export interface WantedKey {
  readonly keyLabel: string;
  readonly keyAlgorithm: Parameters<Hsm['generateKeyPair']>[0]['algorithm'];
}

/**
 * A chain with the version of a key that it is for: after a rotation the token holds several, and a certificate comes later
 * than its key.
 * @param keys  the versions of one key, at least one
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
 */
export function credentialOfVersions(chainPem: string, keys: readonly HsmKey[], hsm: Hsm, source: string): Credential {
  const [leaf] = parseCertificateChain(chainPem, source);
  const spki = leaf.publicKey.export({ format: 'der', type: 'spki' });
  const key = keys.find((each) => each.spki?.equals(spki)) ?? keys[0];
  return Credential.fromPem(chainPem, key, hsm, source);
}

/**
 * The newest version of a key, made when there is none.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_KEY_MISMATCH when it is of another kind
 * @throws {HsmError} as `Hsm.findKey` and `Hsm.generateKeyPair`
 */
export async function newestKey(
  hsm: Hsm,
  { keyLabel, keyAlgorithm }: WantedKey,
  options: CallOptions,
): Promise<HsmKey> {
  const keys = await hsm.listKeys({ label: keyLabel, usage: 'sign' }, options);
  // Processes that start together may each make the first: found by its label it is the same one for all.
  if (keys.length === 0) {
    await hsm.generateKeyPair({ label: keyLabel, algorithm: keyAlgorithm, first: true }, options);
  }
  // Says which and how many when there are several.
  const key = await hsm.findKey({ label: keyLabel, usage: 'sign' }, options);
  if (key.algorithm === keyAlgorithm) return key;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    `key ${keyLabel}: want ${keyAlgorithm} as configured, got ${key.algorithm} on the token`,
  );
}

/** Destroys the versions of a key before one that has taken over. @returns how many */
export async function destroyVersionsBefore(hsm: Hsm, { label, usage, version }: HsmKey): Promise<number> {
  const keys = await hsm.listKeys({ label, usage });
  const older = keys.filter((key) => key.version < version);
  for (const key of older) await hsm.destroyKey(key);
  return older.length;
}
