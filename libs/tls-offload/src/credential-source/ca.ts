// @peculiar/x509 needs it before it loads.
import 'reflect-metadata';
import { type CallOptions, type Hsm, type HsmKey, withProcessLock } from '@nest-hsm/hsm';
import { SubjectAlternativeNameExtension, X509Certificate } from '@peculiar/x509';
import { remainingLife } from '../certificate-chain.js';
import {
  type CaCredentialConfig,
  caCredentialConfigSchema,
  parseConfig,
  type ParsedCaCredentialConfig,
} from '../config.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import { makeCertificateRequest, type RequestedNames } from './certificate-request.js';
import type { CredentialSource } from './credential-source.js';
import { requestCertificate } from './issuer-client.js';
import { type CredentialPurpose, proveByHandshake } from './self-handshake.js';
import { makeDirectoryOf, readStoredChain, storeChain } from './stored-chain.js';
import { credentialOfVersions, destroyVersionsBefore, newestKey } from './token-key.js';

/** Below this share of its life, a certificate is replaced. */
const renewalShare = 1 / 3;
/** Of its life, so much later at most: those that were issued together are not renewed together. */
const jitterShare = 1 / 30;

/**
 * A certificate from a nest-hsm CA that renews itself at two thirds of its life: the key found on the token, generated or
 * rotated there, the request signed there, the issued certificate checked against key and names, proven in a handshake and
 * only then kept in a file for the next start, and served. Processes of one host that name the same file share what is in it:
 * one of them renews, the others find the new certificate there.
 */
export class CaCredentialSource implements CredentialSource {
  readonly name: string;
  readonly intervalMilliseconds = 30_000;
  readonly longestBackOffMilliseconds = 3_600_000;
  readonly #config: ParsedCaCredentialConfig;
  readonly #jitter = Math.random() * jitterShare;
  /** The credential whose predecessors' keys are still there, and since when it serves (by the monotonic clock). */
  #succession: { readonly credential: Credential; readonly since: number } | undefined;

  /**
   * @param purposes  as of a `FileCredentialSource`
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
   */
  constructor(
    private readonly hsm: Hsm,
    config: CaCredentialConfig,
    private readonly purposes?: readonly CredentialPurpose[],
  ) {
    this.#config = parseConfig(caCredentialConfigSchema, 'certificate from a CA', config);
    this.name = this.#config.keyLabel;
  }

  /** First what is stored, however old: to renew it is for the next look. */
  async look(current: Credential | undefined, signal?: AbortSignal): Promise<Credential | undefined> {
    const stored = await this.#stored(current, signal);
    if (stored !== undefined) return stored;
    if (current === undefined || this.#isDue(current)) return this.#renewed(current, signal);
    await this.#destroyReplacedKeys(current);
    return undefined;
  }

  #isDue({ chain: [leaf] }: Credential): boolean {
    return remainingLife(leaf) <= renewalShare - this.#jitter;
  }

  /** @returns what is in the file, proven; undefined when it could not be served, or not in the place of `current` */
  async #stored(current: Credential | undefined, signal?: AbortSignal): Promise<Credential | undefined> {
    const { certificateFile, keyLabel } = this.#config;
    const text = await readStoredChain(certificateFile);
    if (text === undefined || text === current?.chain.map((each) => each.toString()).join('')) return undefined;
    const versions = await this.hsm.listKeys({ label: keyLabel, usage: 'sign' }, { signal });
    if (versions.length === 0) return undefined;
    try {
      const credential = credentialOfVersions(text, versions, this.hsm, certificateFile);
      checkKind(credential.key, this.#config);
      checkNames(credential, this.#config);
      if (current !== undefined && (this.#isDue(credential) || isOlder(credential, current))) return undefined;
      await proveByHandshake(credential, this.purposes);
      return credential;
    } catch (error) {
      // Damaged, over, of other names: no more than if it were not there.
      if (error instanceof TlsOffloadError && error.fault === 'operator') return undefined;
      throw error;
    }
  }

  /** Whoever of the host has the lock renews; those that waited for it find what it stored. */
  async #renewed(current: Credential | undefined, signal?: AbortSignal): Promise<Credential> {
    const { certificateFile } = this.#config;
    await makeDirectoryOf(certificateFile);
    return withProcessLock(`${certificateFile}.lock`, async () => {
      const stored = await this.#stored(current, signal);
      if (stored !== undefined) return stored;
      const credential = await this.#issued(current, signal);
      await storeChain(certificateFile, credential);
      return credential;
    });
  }

  async #issued(current: Credential | undefined, signal?: AbortSignal): Promise<Credential> {
    const { url } = this.#config;
    const key = await this.#keyToCertify(current, { signal });
    const request = await makeCertificateRequest(this.hsm, key, this.#config);
    const chainPem = await requestCertificate(this.#config, request, signal);
    const credential = credentialOfVersions(chainPem, [key], this.hsm, `certificate issued by ${url}`);
    checkNames(credential, this.#config);
    await proveByHandshake(credential, this.purposes);
    return credential;
  }

  /** A version that a renewal made and did not come to certify (it was killed, the CA was away) is taken before another is made. */
  async #keyToCertify(current: Credential | undefined, options: CallOptions): Promise<HsmKey> {
    const { keyLabel, renewKey } = this.#config;
    const newest = await newestKey(this.hsm, this.#config, options);
    if (!renewKey || newest.id !== current?.key.id) return newest;
    return this.hsm.rotateKey(keyLabel, options);
  }

  async #destroyReplacedKeys(current: Credential): Promise<void> {
    const after = this.#config.destroyReplacedKeysAfterSeconds;
    if (after === undefined) return;
    if (this.#succession?.credential !== current) this.#succession = { credential: current, since: performance.now() };
    if (performance.now() - this.#succession.since < after * 1_000) return;
    await destroyVersionsBefore(this.hsm, current.key);
    // Until the next renewal there are none.
    this.#succession = { credential: current, since: Infinity };
  }
}

export interface CaCredentialOptions {
  /** As of a `CaCredentialSource`. */
  readonly purposes?: readonly CredentialPurpose[];
  readonly signal?: AbortSignal;
  /** A stored certificate is due for replacement, the issuer is away, and what is stored is still valid: it is used. */
  readonly renewalPostponed?: (error: TlsOffloadError) => void;
}

/**
 * The credential of a nest-hsm CA as it is now, renewed if that is due. A `CredentialKeeper` keeps it so.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE (worth trying again) |
 * ERR_TLS_OFFLOAD_ISSUANCE_REFUSED | ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
 * @throws {HsmError} as `Hsm.findKey` and `Hsm.generateKeyPair`
 */
export async function credentialFromCa(
  hsm: Hsm,
  config: CaCredentialConfig,
  { purposes, signal, renewalPostponed }: CaCredentialOptions = {},
): Promise<Credential> {
  const source = new CaCredentialSource(hsm, config, purposes);
  const first = (await source.look(undefined, signal)) as Credential;
  try {
    return (await source.look(first, signal)) ?? first;
  } catch (error) {
    const away = error instanceof TlsOffloadError && error.code === 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE';
    if (!away) throw error;
    renewalPostponed?.(error);
    return first;
  }
}

/** By its beginning: a CA may have come to issue for shorter. */
function isOlder({ chain: [leaf] }: Credential, { chain: [other] }: Credential): boolean {
  return leaf.validFromDate < other.validFromDate;
}

function checkKind(key: HsmKey, { keyAlgorithm }: ParsedCaCredentialConfig): void {
  if (key.algorithm === keyAlgorithm) return;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    `key ${key.label}: want ${keyAlgorithm} as configured, got ${key.algorithm} on the token`,
  );
}

function checkNames({ chain: [leaf] }: Credential, { dnsNames, ipAddresses }: RequestedNames): void {
  const extension = new X509Certificate(leaf.raw).getExtension(SubjectAlternativeNameExtension);
  const certified = new Set(
    extension?.names.items.flatMap(({ type, value }) => (type === 'dns' ? value.toLowerCase() : [])),
  );
  const missing = [
    ...dnsNames.filter((name) => !certified.has(name.toLowerCase())),
    ...ipAddresses.filter((address) => leaf.checkIP(address) === undefined),
  ];
  if (missing.length === 0) return;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
    `certificate: want the names that were requested, got one without ${missing.join(', ')}`,
  );
}
