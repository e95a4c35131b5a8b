import { assemble, type AuthorityParts, type CertificateAuthorityOptions } from './assembly.js';
import type { Chain } from './authority/chains.js';
import type { Generation } from './authority/issuers.js';
import { CaError } from './errors.js';
import type { CaCertificate } from './issuance/ca-certificate.js';
import type { DecisionSeals } from './issuance/decision-seals.js';
import type { IssuedCertificate } from './issuance/issuance.js';
import type { Issuer } from './issuance/issuer.js';
import type { IssuanceTicket } from './issuance/ticket.js';
import type { Profile } from './profile/profile.js';
import type { Requester } from './request/issuance-policy.js';
import type { IssueOptions, OnceKey, RenewOptions } from './request/requests.js';
import type { CertificateStatus } from './revocation/certificate-status.js';
import type { PublishedCrl } from './revocation/stored-crl.js';
import type { CertificateQuery } from './search/certificate-query.js';
import type { CertificatePage } from './search/certificate-search.js';

/**
 * An issuing CA whose keys never leave the token.
 *
 * A CSR becomes a certificate in two phases. `prepare` decides and lints, `redeem` signs; `issue` is both. Nothing is stored for a
 * refused CSR. From the moment a TBS is committed its row is completed with that same TBS, whatever crashes.
 */
export class CertificateAuthority {
  #isClosed = false;

  /**
   * Loads the issuing CA (and makes it first, if the configuration says so), completes what a crash left unfinished, and sees
   * to a CRL in force.
   * @throws {CaError} ERR_CA_CONFIG_INVALID | ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE | ERR_CA_ISSUER_UNNAMED | ERR_CA_STORE_UNAVAILABLE
   * @throws {HsmError} when the token is not usable
   */
  static async open(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
    const parts = await assemble(options);
    const authority = new CertificateAuthority(parts);
    try {
      await parts.recovery.resume();
      await parts.status.open();
      for (const jobs of parts.jobs) await jobs.start();
      return authority;
    } catch (error) {
      await authority.close();
      throw error;
    }
  }

  private constructor(private readonly parts: AuthorityParts) {}

  /** Tells what this CA decided from what others wrote into its database. */
  get seals(): DecisionSeals {
    return this.parts.seals;
  }

  /** Revocations, CRLs and OCSP of all issuers. */
  get status(): CertificateStatus {
    return this.parts.status;
  }

  /** The profiles a requester may ask for, by name. */
  get profiles(): ReadonlyMap<string, Profile> {
    return this.parts.policy.profiles;
  }

  /**
   * Issues a certificate for a CSR.
   * @param csr  PKCS #10, at most 64 KiB: DER octets, or PEM as octets or text
   * @param profile  name of one of `profiles`
   * @throws {CaError} ERR_CA_CSR_* | ERR_CA_KEY_* | ERR_CA_NAME_* | ERR_CA_PROFILE_UNKNOWN | ERR_CA_CONSTRAINT_VIOLATED |
   * ERR_CA_APPROVAL_REQUIRED: refused, nothing stored;
   * ERR_CA_STORE_UNAVAILABLE | ERR_CA_ISSUER_UNUSABLE | ERR_CA_LINT_FAILED | ERR_CA_SIGNATURE_INVALID | ERR_CA_CLOSED
   * @throws {HsmError} the token could not sign
   */
  async issue(csr: Uint8Array | string, profile: string, options: IssueOptions = {}): Promise<IssuedCertificate> {
    this.#assertOpen();
    const { idempotencyKey, ...who } = options;
    return this.parts.requests.issue(
      csr,
      profile,
      who,
      idempotencyKey === undefined ? undefined : ['key', idempotencyKey],
    );
  }

  /** As `issue`, once for what the key names: issued again, it is the same certificate. @throws as `issue`; ERR_CA_IDEMPOTENCY_* */
  async issueOnce(
    csr: Uint8Array | string,
    profile: string,
    key: OnceKey,
    who: Partial<Requester> = {},
  ): Promise<IssuedCertificate> {
    this.#assertOpen();
    return this.parts.requests.issue(csr, profile, who, key);
  }

  /**
   * What `issueOnce` has led to, if it has: nothing is issued.
   * @throws {CaError} ERR_CA_CSR_TOO_LARGE | ERR_CA_CSR_MALFORMED | ERR_CA_REQUESTER_INVALID | ERR_CA_STORE_UNAVAILABLE | ERR_CA_CLOSED
   */
  async issuedOnce(
    csr: Uint8Array | string,
    profile: string,
    key: OnceKey,
    who: Partial<Requester> = {},
  ): Promise<IssuedCertificate | undefined> {
    this.#assertOpen();
    return this.parts.requests.issuedOnce(csr, profile, who, key);
  }

  /**
   * Issues a certificate that follows another one of the same requester: same profile, subject and names.
   * @param serial  hexadecimal, in any case
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND | ERR_CA_RENEWAL_REFUSED; else as `issue`
   */
  async renew(serial: string, options: RenewOptions = {}): Promise<IssuedCertificate> {
    this.#assertOpen();
    return this.parts.requests.renew(serial, options);
  }

  /**
   * Decides about a CSR as if it were approved; nothing is stored or signed.
   * @returns what would be certified: `cn:`, `dns:`, `ip:`, `email:`, `uri:`
   * @throws {CaError} as `issue`
   */
  async inspect(csr: Uint8Array | string, profile: string, requester: string): Promise<string[]> {
    this.#assertOpen();
    return this.parts.requests.inspect(csr, profile, requester);
  }

  /** Issued certificates, a page at a time. @throws {CaError} ERR_CA_QUERY_INVALID | ERR_CA_STORE_UNAVAILABLE */
  async list(query: CertificateQuery): Promise<CertificatePage> {
    this.#assertOpen();
    return this.parts.requests.list(query);
  }

  /** Decides about a CSR: what is returned may be signed once, until it expires. @throws as `issue` */
  async prepare(csr: Uint8Array | string, profile: string, who: Partial<Requester> = {}): Promise<IssuanceTicket> {
    this.#assertOpen();
    return this.parts.context.issuance.prepare(await this.parts.requests.order(csr, profile, who));
  }

  /** Signs what `prepare` decided. @throws {CaError} ERR_CA_TICKET_REFUSED, else as `issue` */
  async redeem(ticket: IssuanceTicket): Promise<IssuedCertificate> {
    this.#assertOpen();
    return this.parts.context.issuance.redeem(ticket);
  }

  /**
   * A certificate that an issuer in service has issued. One that is not finished is not there.
   * @param serial  hexadecimal, in any case
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND | ERR_CA_STORE_UNAVAILABLE
   */
  async find(serial: string): Promise<IssuedCertificate> {
    this.#assertOpen();
    const row = /^[0-9a-f]{1,40}$/i.test(serial)
      ? await this.parts.context.certificates.find(serial.toLowerCase())
      : undefined;
    // One of another issuer, a CA's own for one, has no chain of ours to go with it.
    if (row?.certificate === undefined || this.parts.issuers.find(row.issuerId) === undefined)
      throw new CaError(
        'ERR_CA_CERTIFICATE_NOT_FOUND',
        `certificate: want the serial of an issued one, got ${JSON.stringify(serial.slice(0, 64))}`,
      );
    return { serial: row.serial, issuerId: row.issuerId, der: row.certificate, notAfter: row.notAfter };
  }

  /** Every issuer in service, each in every generation that still has certificates to answer for. */
  get generations(): readonly Generation[] {
    return this.parts.issuers.generations;
  }

  /** The issuing CA: the generation that signs new certificates now, of what no other issuer is named for. */
  get issuer(): Issuer {
    return this.parts.issuers.active();
  }

  /** The generation of a named issuer that signs new certificates now. @throws {CaError} ERR_CA_NOT_INITIALIZED */
  activeIssuer(name: string): Issuer {
    return this.parts.issuers.active(name);
  }

  /** The issuing CA's certificate, then each one's issuer, up to the root. */
  get chain(): readonly CaCertificate[] {
    return this.issuer.chain;
  }

  /**
   * The chain that goes with a certificate: its issuer's certificate, then each one's issuer, up to the root.
   * @param issuerId  as `IssuedCertificate` says
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND when no issuer in service has that id
   */
  chainOf(issuerId: string): readonly CaCertificate[] {
    return this.parts.issuers.inService(issuerId).issuer.chain;
  }

  /** Further chains of an issuer, up to other roots or by other ways (cross-signing). @throws as `chainOf` */
  alternativeChainsOf(issuerId: string): readonly Chain[] {
    return this.parts.issuers.inService(issuerId).alternativeChains;
  }

  /**
   * The certificate of a CA: of an issuer in service, or of one above it.
   * @param id  key identifier in hexadecimal
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND
   */
  authorityCertificate(id: string): CaCertificate {
    return this.parts.issuers.certificate(id);
  }

  get root(): CaCertificate {
    return this.chain[this.chain.length - 1];
  }

  /** The CRL of the issuing CA in force. */
  get crl(): PublishedCrl {
    return this.crlOf(this.issuer.id);
  }

  /** The CRL of an issuer in force. @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND when no issuer in service has that id */
  crlOf(issuerId: string): PublishedCrl {
    return this.status.crl({ issuerId: this.parts.issuers.inService(issuerId).issuer.id, shard: 0, kind: 'full' });
  }

  /** Ends the scheduled work. Every later call throws ERR_CA_CLOSED. The token and the database are the caller's. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.status.endPresigning();
    for (const jobs of this.parts.jobs) await jobs.stop();
    await this.status.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new CaError('ERR_CA_CLOSED', 'certificate authority: want an open one, got a closed one');
  }
}
