import { createPublicKey, randomBytes } from 'node:crypto';
import type { AsymmetricKeyAlgorithm, KeyAlgorithm, SecretKeyAlgorithm } from './algorithm/key-algorithm.js';
import type { EcdsaSignatureFormat, SignatureScheme } from './algorithm/signature-scheme.js';
import type { WrappingAlgorithm } from './algorithm/wrapping-algorithm.js';
import type { SignatureInput } from './agent/protocol.js';
import { type HsmConfig, memberConfigs, type ParsedHsmConfig, parseHsmConfig } from './config.js';
import { HsmError } from './errors.js';
import { Fleet } from './fleet/fleet.js';
import type { HsmLoad, HsmObserver, MemberStatus } from './fleet/observer.js';
import type { HsmKey, KeyDescription, KeyId, KeySelector, KeyUsage } from './key/key.js';
import { formatKeyUri, keyUriType, parseKeyUri } from './key/key-uri.js';
import { type Enrolment, enrolAll } from './keyring/enrolment.js';
import { fleetMembers } from './keyring/fleet-members.js';
import { type FoundKeys, type KeyManagement, MemberKeys } from './keyring/key-management.js';
import { VendorKeys } from './keyring/vendor-keys.js';
import { WrappedKeys } from './keyring/wrapped-keys.js';

/** Options every call takes. */
export interface CallOptions {
  /** How long the caller will wait, in milliseconds; the configured `deadlineMilliseconds` when absent. */
  readonly deadlineMilliseconds?: number;
  /** Aborting rejects with ERR_HSM_ABORTED and drops the call if it has not reached the token. */
  readonly signal?: AbortSignal;
  /** At most 64 bytes, written to the audit line of this operation. */
  readonly correlationId?: string;
  /**
   * When the call takes unusually long, make it on a second member too and take the first answer. Only for calls that may be
   * made twice; never for an issuer's key, since each is a signature. Default false.
   */
  readonly hedge?: boolean;
}

export interface SignOptions extends CallOptions {
  /** `digest`: the data is already the hash that the scheme names. Default `message`. */
  readonly input?: SignatureInput;
  /** ECDSA only. Default `der`. */
  readonly format?: EcdsaSignatureFormat;
  /** Verify in software before release. RSA signatures always are (a faulty RSA-CRT signature reveals the key). */
  readonly verify?: boolean;
}

export interface NewKeyPair {
  readonly label: string;
  readonly algorithm: AsymmetricKeyAlgorithm;
  /** Default `sign`. `unwrap` makes an RSA pair for RSA-OAEP key transport. */
  readonly usage?: 'sign' | 'unwrap';
  /** Makes a session object that may be wrapped, for replication only. Default false. */
  readonly extractable?: boolean;
}

export interface NewSecretKey {
  readonly label: string;
  readonly algorithm: SecretKeyAlgorithm;
  /** aes-256: `encrypt` (a KEK) or `wrap` (key transport); hmac-sha256: `mac`. */
  readonly usage: 'encrypt' | 'wrap' | 'mac';
  readonly extractable?: boolean;
}

/**
 * One or more tokens that look like one, as plugins see them: keys that never leave them and what may be done with them.
 *
 * Every call has a deadline. Retry-safe calls (sign, encrypt, decrypt, mac, random, find) survive a hung, crashed or wrong
 * member: another one that holds the key makes them within their deadline, or the same one when its agent was replaced. Others
 * then fail with ERR_HSM_OUTCOME_UNKNOWN. All calls may throw ERR_HSM_TIMEOUT, ERR_HSM_OVERLOADED, ERR_HSM_UNAVAILABLE, ERR_HSM_ABORTED,
 * ERR_HSM_CLOSED, ERR_HSM_POLICY_DENIED and ERR_HSM_TOKEN_ERROR besides what each one names.
 */
export class Hsm {
  /**
   * Starts an agent for each member, logs in and returns when one is usable, or when none can be reached for now: then calls
   * wait, and are served as soon as one is back.
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID | ERR_HSM_MODULE_UNUSABLE | ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS |
   * ERR_HSM_TOKEN_UNINITIALIZED | ERR_HSM_PIN_SOURCE | ERR_HSM_PIN_INCORRECT | ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_REFUSED_EARLIER
   */
  static async open(config: HsmConfig, observer?: HsmObserver): Promise<Hsm> {
    const parsed = parseHsmConfig(config);
    const fleet = await Fleet.start(parsed, observer);
    try {
      return new Hsm(parsed, fleet, await keyManagement(parsed, fleet));
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  /** The role of these tokens, e.g. `ca`. */
  readonly name: string;
  readonly #config: ParsedHsmConfig;
  readonly #fleet: Fleet;
  readonly #keys: KeyManagement;

  private constructor(config: ParsedHsmConfig, fleet: Fleet, keys: KeyManagement) {
    this.name = config.name;
    this.#config = config;
    this.#fleet = fleet;
    this.#keys = keys;
  }

  /** Each member: its state, its token, its load, its troubles. */
  get members(): readonly MemberStatus[] {
    return this.#fleet.status;
  }

  /**
   * Makes these tokens the fleet's from now on, e.g. after a reload of the configuration: takes in those that are new, and
   * gives those that are not named any more, or named with other settings, no more calls and ends their agents when they have
   * answered those they have. No call fails for it.
   * @returns when all of that is done; new members that could not start are tried again as every member is
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID, or why none of these members could be reached; nothing is changed then
   */
  async setMembers(members: HsmConfig['members']): Promise<void> {
    await this.#fleet.become(memberConfigs(parseHsmConfig({ ...this.#config, members })));
  }

  /** How many calls are on a token and how many wait. */
  get load(): HsmLoad {
    return this.#fleet.load;
  }

  /**
   * Whether keys really sign: has a member sign with a key of its own for that, and verifies it.
   * @throws {HsmError} when none can
   */
  async probe(): Promise<void> {
    await this.#fleet.probe();
  }

  /**
   * Makes, or finds, the key by which each member takes in keys that are replicated wrapped (`replication.mode`).
   * @returns their fingerprints, for two people to compare with what the members' consoles show, and then to pin in
   * `members[].fingerprint`
   * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS when a member has two
   */
  async enrolMembers(): Promise<readonly Enrolment[]> {
    return enrolAll(fleetMembers(this.#fleet));
  }

  /**
   * Makes a key pair on the token: non-extractable, sensitive, one role, a fresh random CKA_ID, attributes read back.
   * @throws {HsmError} ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_OUTCOME_UNKNOWN
   */
  async generateKeyPair(key: NewKeyPair, options: CallOptions = {}): Promise<HsmKey> {
    return this.#generate({ usage: 'sign', extractable: false, ...key }, options);
  }

  /** Makes an AES-256 or HMAC key on the token, as `generateKeyPair` does. */
  async generateSecretKey(key: NewSecretKey, options: CallOptions = {}): Promise<HsmKey> {
    return this.#generate({ extractable: false, ...key }, options);
  }

  /**
   * The one key that a URI or selector names.
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE
   */
  async findKey(selector: KeySelector | string, options: CallOptions = {}): Promise<HsmKey> {
    const { keys, asked } =
      typeof selector === 'string' ? await this.#resolve(selector, options) : await this.#keys.find(selector, options);
    if (keys.length === 1) {
      this.#keys.assertReplicated(keys[0], asked);
      return this.#adopt(keys[0]);
    }
    const name = typeof selector === 'string' ? 'of that URI' : (selector.label ?? selector.id ?? '(any)');
    const code = keys.length === 0 ? 'ERR_HSM_KEY_NOT_FOUND' : 'ERR_HSM_KEY_AMBIGUOUS';
    throw new HsmError(
      code,
      `key ${name}: want one on token ${this.#tokenLabels.join(', ')}, got ${keys.length || 'none'}`,
    );
  }

  /** All keys that match, on any member that serves; an empty selector lists every key. */
  async listKeys(selector: KeySelector = {}, options: CallOptions = {}): Promise<readonly HsmKey[]> {
    return (await this.#keys.find(selector, options)).keys.map((key) => this.#adopt(key));
  }

  /**
   * Destroys every object of the key on every member.
   * @returns how many objects were destroyed (2 for a key pair on each)
   * @throws {HsmError} when one could not; the others have, and asked again it is finished
   */
  async destroyKey(key: HsmKey, options: CallOptions = {}): Promise<number> {
    return this.#keys.destroy(key.id, options);
  }

  /**
   * Signs on the token.
   * @returns RSA: the modulus's length; ECDSA: as `format` says; Ed25519: 64 bytes
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_ARGUMENT_INVALID | ERR_HSM_SIGNATURE_INVALID
   */
  async sign(key: HsmKey, scheme: SignatureScheme, data: Uint8Array, options: SignOptions = {}): Promise<Buffer> {
    const { input = 'message', format = 'der', verify = false } = options;
    const request = { keyId: key.id, scheme, input, format, verify, data };
    return (await this.#fleet.call('sign', request, options)).signature;
  }

  /**
   * Encrypts under an AES-256-GCM key that never leaves the token (NIST SP 800-38D §7.1). At most 2^30 calls per key.
   * @param data  at most 16 KiB (CloudHSM's limit); the caller keeps ownership and zeroes it
   * @param aad  bound, not stored; the same bytes are needed to decrypt
   * @returns nonce length (1 byte) ‖ nonce ‖ ciphertext ‖ tag (16 bytes)
   */
  async encrypt(key: HsmKey, data: Uint8Array, options: CallOptions & { aad?: Uint8Array } = {}): Promise<Buffer> {
    const request = { keyId: key.id, aad: options.aad ?? new Uint8Array(0), data };
    return (await this.#fleet.call('encrypt', request, options)).envelope;
  }

  /**
   * Decrypts what `encrypt` returned. The caller owns and zeroes the result.
   * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED, without saying why
   */
  async decrypt(key: HsmKey, envelope: Uint8Array, options: CallOptions & { aad?: Uint8Array } = {}): Promise<Buffer> {
    const request = { keyId: key.id, aad: options.aad ?? new Uint8Array(0), envelope };
    return (await this.#fleet.call('decrypt', request, options)).data;
  }

  /** HMAC-SHA-256 on the token (RFC 2104). @returns 32 bytes */
  async mac(key: HsmKey, data: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    return (await this.#fleet.call('mac', { keyId: key.id, data }, options)).mac;
  }

  /** Bytes from the token's random number generator. @param byteLength 1 to 4096 */
  async random(byteLength: number, options: CallOptions = {}): Promise<Buffer> {
    return (await this.#fleet.call('random', { byteLength }, options)).data;
  }

  /**
   * Wraps a token key under another (token keys only; data is encrypted, not wrapped).
   * The wrapped key must have been made `extractable`.
   */
  async wrapKey(
    key: HsmKey,
    wrappingKey: HsmKey,
    algorithm: WrappingAlgorithm,
    options: CallOptions = {},
  ): Promise<Buffer> {
    const request = { keyId: key.id, wrappingKeyId: wrappingKey.id, algorithm };
    return (await this.#fleet.call('wrapKey', request, options)).wrapped;
  }

  /**
   * Unwraps into a non-extractable token key.
   * @param key  `spki` is the public half of a private key: needed for all but RSA, and checked against what was unwrapped
   * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED | ERR_HSM_KEY_UNSAFE | ERR_HSM_OUTCOME_UNKNOWN
   */
  async unwrapKey(
    wrapped: Uint8Array,
    unwrappingKey: HsmKey,
    algorithm: WrappingAlgorithm,
    { spki, ...key }: { label: string; algorithm: KeyAlgorithm; usage: KeyUsage; spki?: Uint8Array },
    options: CallOptions = {},
  ): Promise<HsmKey> {
    const request = {
      unwrappingKeyId: unwrappingKey.id,
      algorithm,
      key: { ...key, id: newKeyId(), extractable: false },
      spki,
      wrapped,
    };
    return this.#adopt(await this.#fleet.call('unwrapKey', request, options));
  }

  /** Waits for calls in flight, then ends the agents. Every later call throws ERR_HSM_CLOSED. */
  async close(): Promise<void> {
    this.#keys.close();
    await this.#fleet.close();
  }

  async #generate(key: Omit<KeyDescription, 'id'>, options: CallOptions): Promise<HsmKey> {
    return this.#adopt(await this.#keys.generate({ ...key, id: newKeyId() }, options));
  }

  /** The keys that a URI names: none when it is about another token. */
  async #resolve(text: string, options: CallOptions): Promise<FoundKeys> {
    const uri = parseKeyUri(text);
    const found = await this.#keys.find({ id: uri.id, label: uri.object }, options);
    const isNamed = this.members.some(({ token }) => {
      const here = token && { ...token, token: token.label };
      return (
        here &&
        (['token', 'manufacturer', 'serial', 'model'] as const).every(
          (each) => (uri[each] ?? here[each]) === here[each],
        )
      );
    });
    const keys = found.keys.filter((key) => isNamed && (uri.type === undefined || uri.type === keyUriType(key)));
    return { ...found, keys };
  }

  #adopt({ members = [], ...key }: KeyDescription & { readonly members?: readonly string[] }): HsmKey {
    const publicKey = key.spki && createPublicKey({ key: key.spki, format: 'der', type: 'spki' });
    const { id, label } = key;
    // Where the members' tokens are named differently the key is not of one of them.
    const [token, another] = this.#tokenLabels;
    const uri = formatKeyUri({
      token: another === undefined ? token : undefined,
      object: label,
      id,
      type: keyUriType(key),
    });
    return Object.freeze({ ...key, publicKey, uri, members });
  }

  get #tokenLabels(): string[] {
    return [...new Set(this.members.flatMap(({ token }) => (token ? [token.label] : [])))];
  }
}

function keyManagement(config: ParsedHsmConfig, fleet: Fleet): Promise<KeyManagement> | KeyManagement {
  const keys = new MemberKeys(fleet, config);
  const { replication } = config;
  return replication.mode === 'vendor' ? new VendorKeys(keys) : WrappedKeys.open(keys, replication);
}

function newKeyId(): KeyId {
  return randomBytes(16).toString('hex') as KeyId;
}
