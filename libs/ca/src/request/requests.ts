import { createHash } from 'node:crypto';
import { parseDer } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import type { Issuers } from '../authority/issuers.js';
import { Admission } from '../issuance/admission.js';
import { type Idempotency, idempotencyOf, issuedBefore, type KeyKind } from '../issuance/idempotency.js';
import type { CertificateOrder } from '../issuance/certificate-order.js';
import type { Issuance, IssuedCertificate } from '../issuance/issuance.js';
import { attributeNameOf, readDirectoryString, readDistinguishedName } from '../name/distinguished-name.js';
import type { CertificateQuery } from '../search/certificate-query.js';
import { parseQuery } from '../search/certificate-query.js';
import { type CertificatePage, searchCertificates } from '../search/certificate-search.js';
import { searchNames } from '../search/search-names.js';
import type { CertificateSearchStore, FoundCertificate } from '../store/certificate-search-store.js';
import type { CertificateStore } from '../store/certificate-store.js';
import { csrDer } from './csr.js';
import type { IssuancePolicy, Requester } from './issuance-policy.js';
import { renewalOrder } from './renewal.js';

/** Who asks: kept with the certificate and bound into the ticket; `application` when nobody is named. */
export interface IssueOptions extends Partial<Requester> {
  /** For 24 hours, the same key of the same requester is answered with the same certificate. */
  readonly idempotencyKey?: string;
}

export interface RenewOptions extends IssueOptions {
  /** A request for the same subject and names with another key; absent: the key stays. */
  readonly csr?: Uint8Array | string;
  /** Called with the profile before anything is decided; throws when the caller may not use it. */
  readonly mayUse?: (profile: string) => void;
}

/** What happens once: a key that a requester chose, or an order that was approved. */
export type OnceKey = readonly [KeyKind, string];

export interface RequestsContext {
  readonly policy: IssuancePolicy;
  readonly issuers: Issuers;
  readonly issuance: Issuance;
  readonly certificates: CertificateStore;
  readonly search: CertificateSearchStore;
  readonly limits: { readonly concurrent: number; readonly waiting: number };
  readonly now: () => Date;
}

/** Requests as their callers make them: one at a time or many at once, again after a lost answer, for a successor. */
export class Requests {
  readonly #admission: Admission;

  constructor(private readonly context: RequestsContext) {
    this.#admission = new Admission(context.limits.concurrent, context.limits.waiting);
  }

  /** The order of a CSR by today's policy. @throws {CaError} as `CertificateAuthority.issue` */
  async order(csr: Uint8Array | string, profileName: string, options: Partial<Requester>): Promise<CertificateOrder> {
    const { policy, issuers, now } = this.context;
    const profile = policy.profile(profileName);
    return policy.order(csr, profile, issuers.ofProfile(profile.name), named(options), now());
  }

  async issue(
    csr: Uint8Array | string,
    profile: string,
    options: Partial<Requester>,
    key?: OnceKey,
  ): Promise<IssuedCertificate> {
    const once = key && idempotencyOf(named(options).requester, key, [profile, csrDer(csr)]);
    return this.#issue(() => this.order(csr, profile, options), once, key?.[0]);
  }

  /** What `issue` has led to under a key, if it has and is finished. */
  async issuedOnce(
    csr: Uint8Array | string,
    profile: string,
    options: Partial<Requester>,
    key: OnceKey,
  ): Promise<IssuedCertificate | undefined> {
    const { idempotencyKey, requestSha256 } = idempotencyOf(named(options).requester, key, [profile, csrDer(csr)]);
    const row = await this.context.certificates.findByIdempotencyKey(idempotencyKey);
    if (row?.certificate === undefined || row.requestSha256 !== requestSha256) return undefined;
    return { serial: row.serial, issuerId: row.issuerId, der: row.certificate, notAfter: row.notAfter };
  }

  async renew(serial: string, { csr, idempotencyKey, mayUse, ...options }: RenewOptions): Promise<IssuedCertificate> {
    const { policy, issuers, now } = this.context;
    const who = named(options);
    const request = ['renewal', serial.toLowerCase(), csr === undefined ? '' : csrDer(csr)];
    const once =
      idempotencyKey === undefined ? undefined : idempotencyOf(who.requester, ['key', idempotencyKey], request);
    const old = await this.#find(serial);
    mayUse?.(old.profile);
    return this.#issue(() => renewalOrder(policy, old, csr, issuers.ofProfile(old.profile), who, now()), once);
  }

  /**
   * What would be certified if somebody approved of it: names (`cn:`, `dns:`, `ip:`, `email:`, `uri:`), every attribute of the
   * subject (`subject:organization=…`), and the SHA-256 of the SubjectPublicKeyInfo (`key:sha256:…`). @throws as `order`
   */
  async inspect(csr: Uint8Array | string, profile: string, requester: string): Promise<string[]> {
    const { subject, names, subjectPublicKeyInfo } = await this.order(csr, profile, {
      requester,
      approver: `not ${requester}`,
    });
    const attributes = (readDistinguishedName(parseDer(subject)) ?? []).map(
      ({ type, value }) => `subject:${attributeNameOf(type) ?? type}=${readDirectoryString(value) ?? '?'}`,
    );
    const key = createHash('sha256').update(subjectPublicKeyInfo).digest('hex');
    return [...searchNames(parseDer(subject), names), ...attributes, `key:sha256:${key}`];
  }

  async list(query: CertificateQuery): Promise<CertificatePage> {
    return searchCertificates(this.context.search, query, this.#issuerIds(), this.context.now());
  }

  /** @throws {CaError} ERR_CA_IDEMPOTENCY_* | ERR_CA_OVERLOADED, and what `order` and issuance throw */
  async #issue(
    order: () => Promise<CertificateOrder>,
    idempotency: Idempotency | undefined,
    kind: KeyKind = 'key',
  ): Promise<IssuedCertificate> {
    const { issuance, certificates, now } = this.context;
    const before = idempotency && (await issuedBefore(certificates, idempotency, kind, now()));
    if (before !== undefined) {
      const { serial, issuerId, certificate: der, notAfter } = before;
      return { serial, issuerId, der, notAfter };
    }
    return this.#admission.run(async () => {
      const decided = await order();
      return issuance.redeem(await issuance.prepare(idempotency === undefined ? decided : { ...decided, idempotency }));
    });
  }

  async #find(serial: string): Promise<FoundCertificate> {
    const isWhole = /^[0-9a-f]{1,40}$/i.test(serial);
    if (isWhole) {
      const query = parseQuery({ serial: serial.padStart(4, '0'), limit: 1 });
      const { found } = await this.context.search.search(query, this.#issuerIds(), this.context.now());
      if (found.at(0)?.serial === serial.toLowerCase()) return found[0];
    }
    throw new CaError(
      'ERR_CA_CERTIFICATE_NOT_FOUND',
      `certificate: want the serial of an issued one, got ${JSON.stringify(serial.slice(0, 64))}`,
    );
  }

  #issuerIds(): string[] {
    return this.context.issuers.generations.map(({ issuer }) => issuer.id);
  }
}

const maximumRequester = 512;

/** @throws {CaError} ERR_CA_REQUESTER_INVALID: a database may refuse the text, and with it what is committed together with it */
function named(options: Partial<Requester>): Requester {
  const who = { requester: 'application', ...options };
  if (who.requester.length <= maximumRequester && /^[^\p{Cc}\p{Cs}]+$/u.test(who.requester)) return who;
  throw new CaError(
    'ERR_CA_REQUESTER_INVALID',
    `requester: want 1 to ${maximumRequester} characters and no control characters, got ${JSON.stringify(who.requester.slice(0, 64))}`,
  );
}
