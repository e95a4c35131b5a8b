import type { KeyAlgorithm } from './algorithm/key-algorithm.js';
import type { SignatureScheme } from './algorithm/signature-scheme.js';
import type { WrappingAlgorithm } from './algorithm/wrapping-algorithm.js';
import type { Answer, Request } from './agent/protocol.js';
import { type HsmConfig, issuerKeyPatterns, memberConfigs, type ParsedHsmConfig, parseHsmConfig } from './config.js';
import { HsmError } from './errors.js';
import type { FleetVerb } from './fleet/call-options.js';
import { Fleet } from './fleet/fleet.js';
import type { HsmLoad, HsmObserver, MemberStatus } from './fleet/observer.js';
import type { CallOptions, NewKeyPair, NewSecretKey, SignOptions } from './hsm-options.js';
import type { HsmKey, KeyDescription, KeySelector, KeyUsage } from './key/key.js';
import { lineageOfLabel, newKeyId } from './key/key-version.js';
import { isListed } from './key/label-pattern.js';
import { type Departure, type KeyCustody, noDeparture } from './keyring/custody.js';
import { type Enrolment, enrolAll } from './keyring/enrolment.js';
import { fleetMembers } from './keyring/fleet-members.js';
import type { ConsistencyReport } from './keyring/consistency-audit.js';
import type { DestructionOptions } from './keyring/destruction.js';
import { FleetKeys } from './keyring/fleet-keys.js';
import { requireLabelOf } from './keyring/infrastructure.js';
import { KeyDirectory } from './keyring/key-directory.js';
import type { SignedReceipt } from './keyring/receipt.js';
import { type KeyAge, keyAges } from './keyring/rotation.js';
import { WrappedKeys } from './keyring/wrapped-keys.js';

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
      return new Hsm(parsed, fleet, await FleetKeys.open(parsed, fleet));
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  /** The role of these tokens, e.g. `ca`. */
  readonly name: string;
  readonly #config: ParsedHsmConfig;
  readonly #fleet: Fleet;
  readonly #keys: FleetKeys;
  readonly #directory: KeyDirectory;
  /** Or did: changes of the members overlap. */
  #sharesAgents: boolean;

  private constructor(config: ParsedHsmConfig, fleet: Fleet, keys: FleetKeys) {
    this.name = config.name;
    this.#config = config;
    this.#fleet = fleet;
    this.#keys = keys;
    this.#directory = new KeyDirectory(keys, fleet);
    this.#sharesAgents = sharesAgents(config);
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
    const next = parseHsmConfig({ ...this.#config, members });
    // Before a call can reach one.
    this.#sharesAgents ||= sharesAgents(next);
    await this.#fleet.become(memberConfigs(next));
  }

  /** How many calls are on a token, how many wait, and how many could be on one. */
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
   * Backup, restore and what else brings wrapped keys where they are not, with the recovery token. Not for applications.
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID where the devices copy keys: then they back them up too, and no other way is there
   */
  get custody(): KeyCustody {
    const { management } = this.#keys;
    if (management instanceof WrappedKeys) return management.custody;
    const message = `${this.name}: want replication.mode "wrapped", got "vendor": such keys never leave their devices, which alone can back them up`;
    throw new HsmError('ERR_HSM_CONFIG_INVALID', message);
  }

  /** What could leave for another fleet (`KeyCustody.prepareArrival`), and what stays and why. */
  async departure(): Promise<Departure> {
    const { management } = this.#keys;
    if (management instanceof WrappedKeys) return management.custody.departure();
    return noDeparture((await this.#keys.find({}, {})).keys);
  }

  /**
   * Makes a key pair on the token: non-extractable, sensitive, one role, a fresh random CKA_ID, attributes read back.
   * @throws {HsmError} ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_OUTCOME_UNKNOWN | ERR_HSM_ARGUMENT_INVALID for a label that is
   * not its own to have
   */
  async generateKeyPair(key: NewKeyPair, options: CallOptions = {}): Promise<HsmKey> {
    return this.#generate({ usage: 'sign', extractable: false, ...key }, options);
  }

  /** Makes an AES-256 or HMAC key on the token, as `generateKeyPair` does. */
  async generateSecretKey(key: NewSecretKey, options: CallOptions = {}): Promise<HsmKey> {
    return this.#generate({ extractable: false, ...key }, options);
  }

  /**
   * The one key that a URI or selector names; of the versions of a key the newest that can be used, unless an id or version says
   * which.
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE | ERR_HSM_KEY_NOT_REPLICATED
   */
  async findKey(selector: KeySelector | string, options: CallOptions = {}): Promise<HsmKey> {
    return this.#directory.one(selector, options);
  }

  /** All keys that match, each version of them, on any member that serves; an empty selector lists every key. */
  async listKeys(selector: KeySelector = {}, options: CallOptions = {}): Promise<readonly HsmKey[]> {
    return this.#directory.all(selector, options);
  }

  /**
   * Makes the next version of a key, like the one before it: `findKey` gives it from now on, when it is on enough members. Those
   * before it stay, and are found by id, URI or version. When several processes of a host do so at once, one version is made.
   * Not for a key of a CA, which is bound to a certificate: that it is one cannot be told here.
   * @returns the newest version
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS when keys of that label are no versions of each other |
   * ERR_HSM_KEY_NOT_REPLICATED: the version before it is still the newest then
   */
  async rotateKey(label: string, options: CallOptions = {}): Promise<HsmKey> {
    return this.#directory.entry(await this.#keys.rotate(label, options));
  }

  /** Every key, with its age and, where it is the newest of its label, whether it should be rotated (`rotation` of the configuration). */
  async keyAges(options: CallOptions = {}): Promise<readonly KeyAge[]> {
    return keyAges(await this.listKeys({}, options), this.#config.rotation);
  }

  /**
   * Destroys every object of the key on every member. From the moment that this is on the disk no process that shares
   * `stateDirectory` (or the keyring) can use the key; a member that is away does it when it is back.
   * @returns what became of it, signed: `pending` while a member may have the key, or a backup could give it back
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND when every member was asked and none has it | ERR_HSM_KEYRING_UNUSABLE
   */
  async destroyKey(key: HsmKey, options: DestructionOptions = {}): Promise<SignedReceipt> {
    return this.#keys.destroy(key, options);
  }

  /**
   * Compares the keys of all members: what each one is and may do, that it is one key everywhere, that it is where it should
   * be, also by what the keyring has. Says what differs and how to mend it, and changes nothing.
   * @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE
   */
  async checkConsistency(options: CallOptions = {}): Promise<ConsistencyReport> {
    return this.#keys.audit(options);
  }

  /** The receipts of all destructions, those of a key in their order: each but its first names the one before. */
  async receipts(): Promise<readonly SignedReceipt[]> {
    return this.#keys.receipts();
  }

  /** The key that signs receipts, made when there is none. Pin its public half where nobody who has the PIN can write. */
  async receiptKey(): Promise<HsmKey> {
    return this.#directory.entry(await this.#keys.receiptKey());
  }

  /**
   * Signs on the token.
   * @returns RSA: the modulus's length; ECDSA: as `format` says; Ed25519: 64 bytes
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_ARGUMENT_INVALID | ERR_HSM_SIGNATURE_INVALID
   */
  async sign(key: HsmKey, scheme: SignatureScheme, data: Uint8Array, options: SignOptions = {}): Promise<Buffer> {
    const { input = 'message', format = 'der', verify = false } = options;
    const request = { keyId: key.id, scheme, input, format, verify, data };
    return (await this.#use('sign', key, request, options)).signature;
  }

  /**
   * Encrypts under an AES-256-GCM key that never leaves the token (NIST SP 800-38D §7.1). At most 2^30 calls per key.
   * @param data  at most 16 KiB (CloudHSM's limit); the caller keeps ownership and zeroes it
   * @param aad  bound, not stored; the same bytes are needed to decrypt
   * @returns nonce length (1 byte) ‖ nonce ‖ ciphertext ‖ tag (16 bytes)
   */
  async encrypt(key: HsmKey, data: Uint8Array, options: CallOptions & { aad?: Uint8Array } = {}): Promise<Buffer> {
    const request = { keyId: key.id, aad: options.aad ?? new Uint8Array(0), data };
    return (await this.#use('encrypt', key, request, options)).envelope;
  }

  /**
   * Decrypts what `encrypt` returned. The caller owns and zeroes the result.
   * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED, without saying why
   */
  async decrypt(key: HsmKey, envelope: Uint8Array, options: CallOptions & { aad?: Uint8Array } = {}): Promise<Buffer> {
    const request = { keyId: key.id, aad: options.aad ?? new Uint8Array(0), envelope };
    return (await this.#use('decrypt', key, request, options)).data;
  }

  /** HMAC-SHA-256 on the token (RFC 2104). @returns 32 bytes */
  async mac(key: HsmKey, data: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    return (await this.#use('mac', key, { keyId: key.id, data }, options)).mac;
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
    this.#keys.requireUsable(wrappingKey.id);
    return (await this.#use('wrapKey', key, request, options)).wrapped;
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
    requireLabelOf(key.label, false);
    const request = {
      unwrappingKeyId: unwrappingKey.id,
      algorithm,
      key: { ...key, id: newKeyId(key.label), extractable: false },
      spki,
      wrapped,
    };
    this.#keys.requireUsable(unwrappingKey.id);
    return this.#directory.entry(await this.#fleet.call('unwrapKey', request, options));
  }

  /** Waits for calls in flight, then ends the agents. Every later call throws ERR_HSM_CLOSED. */
  async close(): Promise<void> {
    await Promise.all([this.#keys.close(), this.#fleet.close()]);
  }

  async #generate(
    { first = false, measurement = false, ...key }: Described & { first?: boolean; measurement?: boolean },
    options: CallOptions,
  ): Promise<HsmKey> {
    requireLabelOf(key.label, measurement);
    if (measurement) this.#keys.requireRecords();
    const id = newKeyId(key.label, first ? lineageOfLabel(key.label) : undefined);
    return this.#directory.entry(await this.#keys.generate({ ...key, id }, options));
  }

  /** A call with a key that is not destroyed or being so, wherever it may still be. */
  #use<V extends KeyVerb>(verb: V, key: HsmKey, request: Request<V>, options: CallOptions): Promise<Answer<V>> {
    this.#keys.requireUsable(key.id);
    const isHedged = options.hedge === true && !this.#mayBeIssuers(verb, key);
    return this.#fleet.call(
      verb,
      request,
      isHedged === (options.hedge ?? false) ? options : { ...options, hedge: false },
    );
  }

  /** Whether a signature may be an act of its own. Which keys are issuers' a shared agent knows by its own configuration. */
  #mayBeIssuers(verb: KeyVerb, { label }: HsmKey): boolean {
    if (verb === 'sign' && this.#sharesAgents && this.#config.audit?.issuerKeys === undefined) return true;
    return isListed(issuerKeyPatterns(this.#config), label);
  }
}

function sharesAgents({ members }: ParsedHsmConfig): boolean {
  return members.some((member) => 'socket' in member);
}

type Described = Omit<KeyDescription, 'id'>;
type KeyVerb = Extract<FleetVerb, 'sign' | 'encrypt' | 'decrypt' | 'mac' | 'wrapKey'>;
