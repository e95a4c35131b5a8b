import { createHash } from 'node:crypto';
import type { IssuerToken } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import type { CertIdHash, OcspResponseKey, OcspStore, StoredOcspResponse } from '../store/ocsp-store.js';
import type { RevocationStore, StatusChange } from '../store/revocation-store.js';
import { findCertificateStates } from './certificate-states.js';
import { assertLeft, OcspAdmission, type OcspAllowance } from './ocsp-admission.js';
import { OcspBusy } from './ocsp-busy.js';
import { type OcspRequest, parseOcspRequest, type RequestedCertId, MalformedOcspRequest } from './ocsp-request.js';
import { encodeOcspError, type OcspErrorStatus } from './ocsp-response.js';
import type { CertificateState, OcspSigner } from './ocsp-signer.js';
import { type CachedResponse, ResponseCache } from './response-cache.js';
import { StatusWatch } from './status-watch.js';

/** How often a response is signed anew because the status changed meanwhile. */
const saveAttempts = 3;

/** When the HSM or the database is away. */
const retryAfterSeconds = 5;

export interface OcspContext {
  readonly token: Pick<IssuerToken, 'load'>;
  readonly revocations: RevocationStore;
  readonly ocsp: OcspStore;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

export type OcspOutcome = 'successful' | OcspErrorStatus;

/** An OCSPResponse in DER, and how long it may be kept. */
export interface OcspAnswer {
  readonly outcome: OcspOutcome;
  readonly der: Buffer;
  /** Absent: nobody may keep it. */
  readonly cacheable?: CacheFacts;
  /** With `tryLater`: how much later. */
  readonly retryAfterSeconds?: number;
}

export interface CacheFacts {
  readonly etag: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Until when it is given out unchanged. */
  readonly refreshAt: Date;
}

interface Served {
  readonly signer: OcspSigner;
  readonly watch: StatusWatch;
  /** Of the responder whose responses are in memory. */
  keyHash?: Buffer;
}

/**
 * Answers OCSP requests for every issuer in service (RFC 6960, RFC 5019). A request for one certificate without a nonce gets the
 * response that is kept for everybody, from memory or the database, signed now if there is none yet; any other is signed
 * for whoever asks. What this CA has not issued, or what has expired, gets an unsigned `unauthorized`.
 */
export class OcspResponder {
  readonly #served = new Map<string, Served>();
  /** By hash, name hash and key hash of the issuer. */
  readonly #byHashes = new Map<string, Served>();
  readonly #cache = new ResponseCache();
  readonly #pending = new Map<string, Promise<CachedResponse | undefined>>();
  readonly #admission: OcspAdmission;

  constructor(private readonly context: OcspContext) {
    this.#admission = new OcspAdmission(() => context.token.load.sessions);
  }

  /** Says who is in service from now on. */
  serve(signers: readonly OcspSigner[]): void {
    const inService = new Set(signers.map(({ issuer }) => issuer.id));
    for (const id of this.#served.keys()) if (!inService.has(id)) this.#served.delete(id);
    this.#byHashes.clear();
    for (const signer of signers) {
      const { id } = signer.issuer;
      const served: Served = this.#served.get(id) ?? {
        signer,
        watch: new StatusWatch(id, this.context.revocations, this.#cache),
      };
      const { keyHash } = signer.credential.current ?? served;
      if (served.keyHash !== undefined && keyHash?.equals(served.keyHash) === false) this.#cache.clear();
      served.keyHash = keyHash;
      this.#served.set(id, served);
      for (const { hash, nameHash, keyHash } of signer.hashes)
        this.#byHashes.set(hashesKey(hash, nameHash, keyHash), served);
    }
  }

  /**
   * Never rejects: what goes wrong is an OCSPResponse too.
   * @param request  DER, of any length
   * @param allowance  what the asker may cost beyond what is in memory or in the database; unlimited when absent
   */
  async respond(request: Buffer, allowance?: OcspAllowance): Promise<OcspAnswer> {
    try {
      return await this.#answer(parseOcspRequest(request), allowance);
    } catch (error) {
      if (error instanceof MalformedOcspRequest) return errors.malformedRequest;
      if (error instanceof OcspBusy) return { ...errors.tryLater, retryAfterSeconds: error.retryAfterSeconds };
      // The HSM or the database is away. What they do not need to be asked about is still answered.
      this.context.observer.jobFailed?.('ocsp', error);
      return { ...errors.tryLater, retryAfterSeconds };
    }
  }

  /** New responses for a status about to be committed; none when they cannot be signed now, and then nothing old stays either. */
  async presign(change: StatusChange): Promise<StoredOcspResponse[]> {
    const signer = this.#served.get(change.issuerId)?.signer;
    if (signer === undefined) return [];
    const state = { serial: change.serial, status: change, sequence: 0 };
    try {
      return [await signer.presign(state, 'sha1'), await signer.presign(state, 'sha256')];
    } catch (error) {
      this.context.observer.jobFailed?.('ocsp', error);
      return [];
    }
  }

  /** A status was changed here: whatever is in memory is old. */
  forget(issuerId: string, serial: string): void {
    this.#cache.remove(issuerId, [serial]);
  }

  async #answer({ certIds, nonce }: OcspRequest, allowance: OcspAllowance | undefined): Promise<OcspAnswer> {
    const [first] = certIds;
    const served = this.#servedBy(first);
    // One response has one signer, so all certificates are of one issuer and named by one hash.
    const { hash } = first;
    if (served === undefined || hash === undefined) return errors.unauthorized;
    if (certIds.some((each) => each.hash !== hash || this.#servedBy(each) !== served)) return errors.unauthorized;
    const serials = certIds.map(({ serial }) => serial);
    if (!serials.every((serial) => serial !== undefined)) return errors.unauthorized;
    if (nonce === undefined && serials.length === 1) return this.#prepared(served, serials[0], hash, allowance);
    return this.#admission.signForOne(allowance, () => this.#signed(served.signer, serials, hash, nonce));
  }

  async #signed(
    signer: OcspSigner,
    serials: readonly string[],
    hash: CertIdHash,
    nonce: Buffer | undefined,
  ): Promise<OcspAnswer> {
    const states = await findCertificateStates(this.context, signer.issuer.id, serials);
    if (!states.every((state) => state !== undefined)) return errors.unauthorized;
    return { outcome: 'successful', der: await signer.sign(states, hash, nonce) };
  }

  async #prepared(
    { signer, watch }: Served,
    serial: string,
    hash: CertIdHash,
    allowance: OcspAllowance | undefined,
  ): Promise<OcspAnswer> {
    const key = { issuerId: signer.issuer.id, serial, hash };
    try {
      const looking = watch.look();
      if (looking !== undefined) await looking;
    } catch (error) {
      // What is in memory was right a moment ago, and is signed until its nextUpdate.
      this.context.observer.jobFailed?.('ocsp', error);
    }
    const response = this.#fromMemory(key) ?? (await this.#fetched(signer, key, allowance));
    if (response === undefined) return errors.unauthorized;
    return { outcome: 'successful', der: response.der, cacheable: response };
  }

  #fromMemory(key: OcspResponseKey): CachedResponse | undefined {
    const response = this.#cache.get(key);
    if (response === undefined) return undefined;
    const now = this.context.now();
    // Nobody takes one of the future, which was signed while the clock was wrong.
    return response.thisUpdate <= now && now < response.refreshAt ? response : undefined;
  }

  /** However many ask at once, the database and the HSM are asked once. */
  async #fetched(
    signer: OcspSigner,
    key: OcspResponseKey,
    allowance: OcspAllowance | undefined,
  ): Promise<CachedResponse | undefined> {
    // Whoever asks after a change must not get what was looked up before it.
    const name = `${this.#cache.epoch}:${key.issuerId}${key.serial}${key.hash}`;
    let fetching = this.#pending.get(name);
    if (fetching === undefined) {
      assertLeft(allowance);
      fetching = this.#fetch(signer, key, allowance).finally(() => this.#pending.delete(name));
      this.#pending.set(name, fetching);
    }
    return fetching;
  }

  async #fetch(
    signer: OcspSigner,
    key: OcspResponseKey,
    allowance: OcspAllowance | undefined,
  ): Promise<CachedResponse | undefined> {
    const { ocsp, now } = this.context;
    const { epoch } = this.#cache;
    const stored = await this.#admission.lookUp(() => ocsp.find(key));
    const isInForce = stored !== undefined && now() < stored.nextUpdate && now() >= stored.thisUpdate;
    const response = isInForce && signer.hasSigned(stored) ? stored : await this.#signAndSave(signer, key, allowance);
    if (response === undefined) return undefined;
    const cached = { ...response, etag: `"${createHash('sha256').update(response.der).digest('base64url')}"` };
    if (epoch === this.#cache.epoch) this.#cache.put(cached);
    return cached;
  }

  async #signAndSave(
    signer: OcspSigner,
    { issuerId, serial, hash }: OcspResponseKey,
    allowance: OcspAllowance | undefined,
  ): Promise<StoredOcspResponse | undefined> {
    for (let attempt = 0; attempt < saveAttempts; attempt += 1) {
      const state = await this.#state(issuerId, serial, allowance);
      if (state === undefined) return undefined;
      const response = await this.#admission.sign(allowance, () => signer.presign(state, hash, 'interactive'));
      if ((await this.context.ocsp.save(issuerId, [response])) === 1) return response;
      // Not kept: the status changed while this was signed, and nobody is told what is no longer so.
    }
    throw new OcspBusy(`OCSP: want a status that stays while a response is signed, got ${saveAttempts} changes`);
  }

  /** Whoever asks for what there is not may do so a number of times. */
  async #state(
    issuerId: string,
    serial: string,
    allowance: OcspAllowance | undefined,
  ): Promise<CertificateState | undefined> {
    const [state] = await this.#admission.lookUp(() => findCertificateStates(this.context, issuerId, [serial]));
    if (state === undefined) allowance?.spend();
    return state;
  }

  #servedBy({ hash, nameHash, keyHash }: RequestedCertId): Served | undefined {
    return hash === undefined ? undefined : this.#byHashes.get(hashesKey(hash, nameHash, keyHash));
  }
}

const errorAnswer = (outcome: OcspErrorStatus): OcspAnswer => ({ outcome, der: encodeOcspError(outcome) });
const errors = {
  malformedRequest: errorAnswer('malformedRequest'),
  tryLater: errorAnswer('tryLater'),
  unauthorized: errorAnswer('unauthorized'),
};

function hashesKey(hash: CertIdHash, nameHash: Buffer, keyHash: Buffer): string {
  return `${hash}:${nameHash.toString('latin1')}:${keyHash.toString('latin1')}`;
}
