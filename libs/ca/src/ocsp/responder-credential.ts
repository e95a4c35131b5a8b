import type { HsmKey } from '@nest-hsm/hsm';
import { caKeyId, findCaKey, findOrGenerateCaKey } from '../authority/ca-key.js';
import { CaError } from '../errors.js';
import { parseDer } from '../der/der-reader.js';
import { readTime, viewTbsCertificate } from '../issuance/certificate-view.js';
import type { UnfinishedOrder } from '../issuance/certificate-order.js';
import type { Issuance } from '../issuance/issuance.js';
import { type Issuer, type IssuerToken, signingAuthority, type SigningAuthority } from '../issuance/issuer.js';
import { digestOf } from '../issuance/signing.js';
import type { IssuerLocations } from '../issuance/locations.js';
import type { Validity } from '../issuance/tbs-certificate.js';
import type { CaObserver } from '../observer.js';
import type { CertificateStore } from '../store/certificate-store.js';
import type { OcspStore } from '../store/ocsp-store.js';
import type { RevocationStore } from '../store/revocation-store.js';
import { publicKeyHash } from './cert-id.js';
import { responderLabel } from './responder-label.js';
import { responderAlgorithm, responderOrder } from './responder-order.js';

export interface CredentialContext {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly issuance: Issuance;
  readonly ocsp: OcspStore;
  readonly revocations: RevocationStore;
  readonly observer: CaObserver;
  readonly now: () => Date;
  readonly validityDays: number;
  readonly locations: (issuer: Issuer) => IssuerLocations;
}

/** What OCSP responses are signed with. */
export interface Responder {
  /** The responder's key; its certificate's subject is its name. */
  readonly authority: SigningAuthority;
  /** DER, sent with every response. */
  readonly certificate: Buffer;
  readonly validity: Validity;
  /** SHA-1, 20 octets: the ResponderID. */
  readonly keyHash: Buffer;
}

/** More keys than one responder ever gives up. */
const maximumKeys = 100;

/**
 * The delegated responder of one issuer (RFC 6960 §4.2.2.2): a key of its own in the HSM, with a certificate that is renewed when
 * half of its time has passed. Once a certificate is revoked its key is given up, and another one made. Replicas share all of it.
 */
export class ResponderCredential {
  #current: Responder | undefined;

  constructor(
    private readonly context: CredentialContext,
    private readonly issuer: Issuer,
  ) {}

  /** Undefined until one could be had, and when it has expired. */
  get current(): Responder | undefined {
    return this.#current !== undefined && this.context.now() < this.#current.validity.notAfter
      ? this.#current
      : undefined;
  }

  /**
   * Takes over another replica's certificate, and issues one when it is time. From a revocation on nothing is signed with the old
   * key, even while there is no other.
   * @throws {CaError} @throws {HsmError}
   */
  async refresh(): Promise<void> {
    if (this.#current !== undefined) {
      if (await this.#isGivenUp(this.#current.authority)) this.#current = undefined;
      else if (!this.#isDue(this.#current)) return;
    }
    // One at a time: labels are not unique on a token, and one certificate is enough.
    await this.context.certificates.exclusively(async () => {
      const key = await this.#key();
      const known = await this.#load(key);
      this.#current = known !== undefined && !this.#isDue(known) ? known : await this.#issue(key);
    });
  }

  /** What an unfinished certificate of the responder is held against when a crash left it. */
  async unfinishedOrder(): Promise<UnfinishedOrder> {
    return this.#order(await this.#key());
  }

  #isDue({ validity: { notBefore, notAfter } }: Responder): boolean {
    const now = this.context.now().getTime();
    return now < notBefore.getTime() || now >= (notBefore.getTime() + notAfter.getTime()) / 2;
  }

  /** The newest that is on the token; its successor, made now, if it was given up. */
  async #key(): Promise<HsmKey> {
    const { token, observer, certificates } = this.context;
    const named = (number: number) =>
      ({ label: responderLabel(this.issuer.key.label, number), algorithm: responderAlgorithm(this.issuer) }) as const;
    let number = 1;
    while (number < maximumKeys && (await findCaKey(token, named(number + 1))) !== undefined) number += 1;
    let key = await findOrGenerateCaKey(token, named(number), observer);
    if (await this.#isGivenUp(signingAuthority(key, this.issuer.name)))
      key = await findOrGenerateCaKey(token, named(number + 1), observer);
    // Labels are the operator's, and another CA's key is no responder's.
    if ((await certificates.findAuthority(caKeyId(key))) !== undefined)
      throw new CaError('ERR_CA_ISSUER_UNUSABLE', `OCSP responder key ${key.label}: want one of its own, got a CA's`);
    return key;
  }

  /**
   * Whether it is known to others, or its certificate in use was revoked, for whatever reason: nobody is to ask about that one
   * (id-pkix-ocsp-nocheck), so it is for us not to use it.
   */
  async #isGivenUp({ id, subjectPublicKeyInfo }: SigningAuthority): Promise<boolean> {
    const { certificates, ocsp, revocations } = this.context;
    if (await certificates.isCompromised(digestOf(subjectPublicKeyInfo))) return true;
    const serial = await ocsp.responder(this.issuer.id);
    if (serial === undefined || (await revocations.find(this.issuer.id, serial)) === undefined) return false;
    return (await certificates.find(serial))?.subjectKeyId === id;
  }

  /** The certificate in use, if it is this key's. */
  async #load(key: HsmKey): Promise<Responder | undefined> {
    const { ocsp, certificates } = this.context;
    const serial = await ocsp.responder(this.issuer.id);
    const row = serial === undefined ? undefined : await certificates.find(serial);
    const isOurs = row?.issuerId === this.issuer.id && row.subjectKeyId === caKeyId(key);
    return isOurs && row.certificate !== undefined ? this.#responder(key, row.certificate) : undefined;
  }

  async #issue(key: HsmKey): Promise<Responder> {
    const { issuance, ocsp } = this.context;
    const { serial, der } = await issuance.redeem(await issuance.prepare(this.#order(key)));
    await ocsp.useResponder(this.issuer.id, serial);
    return this.#responder(key, der);
  }

  #order(key: HsmKey): ReturnType<typeof responderOrder> {
    const { locations, validityDays, now } = this.context;
    return responderOrder(this.issuer, key, { locations: locations(this.issuer), validityDays, now: now() });
  }

  #responder(key: HsmKey, certificate: Buffer): Responder {
    const view = viewTbsCertificate(parseDer(certificate).children[0]);
    const [notBefore, notAfter] = [readTime(view.notBefore), readTime(view.notAfter)];
    if (notBefore === undefined || notAfter === undefined)
      throw new TypeError('responder certificate: want proper dates');
    const authority = signingAuthority(key, view.subject.raw);
    const keyHash = publicKeyHash(authority.subjectPublicKeyInfo, 'sha1');
    return Object.freeze({ authority, certificate, validity: { notBefore, notAfter }, keyHash });
  }
}
