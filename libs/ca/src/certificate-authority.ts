import type { Chain } from './authority/chains.js';
import { type HierarchyContext, initializeHierarchy } from './authority/hierarchy.js';
import { type Generation, Issuers } from './authority/issuers.js';
import { type CaConfig, parseCaConfig } from './config.js';
import { CaError, isCaError } from './errors.js';
import type { CaCertificate } from './issuance/ca-certificate.js';
import { type CertificateTemplate, certificateTemplates } from './issuance/certificate-template.js';
import { readCommittedTbs } from './issuance/committed-tbs.js';
import {
  type CertificateOrder,
  Issuance,
  type IssuedCertificate,
  recoveryRefused,
  type UnfinishedOrder,
} from './issuance/issuance.js';
import type { Issuer, IssuerToken } from './issuance/issuer.js';
import type { IssuanceTicket } from './issuance/ticket.js';
import { validityOf } from './issuance/validity.js';
import { encodeDistinguishedName } from './name/distinguished-name.js';
import type { GeneralName } from './name/general-name.js';
import type { CaObserver } from './observer.js';
import { certifiedNames } from './profile/certified-names.js';
import { type ProfileName, profileNames } from './profile/profile.js';
import { parseCsr } from './request/csr.js';
import { acceptPublicKey } from './request/key-policy.js';
import { NamePolicy } from './request/name-policy.js';
import { verifyProofOfPossession } from './request/proof-of-possession.js';
import { CrlPublisher, type PublishedCrl } from './revocation/crl-publisher.js';
import { Schedule } from './schedule.js';
import type { AuthorityStore } from './store/authority-store.js';
import type { CertificateRecord, CertificateStore } from './store/certificate-store.js';
import type { CrlStore } from './store/crl-store.js';

export interface CertificateAuthorityOptions {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly authorities: AuthorityStore;
  readonly crls: CrlStore;
  readonly config: CaConfig;
  readonly observer?: CaObserver;
  /** The clock; the system's when absent. */
  readonly now?: () => Date;
}

export interface IssueOptions {
  /** Who asks; kept with the certificate and bound into the ticket. */
  readonly requester?: string;
}

/**
 * An issuing CA whose keys never leave the token.
 *
 * A CSR becomes a certificate in two phases. `prepare` decides and lints, `redeem` signs; `issue` is both. Nothing is stored for a
 * refused CSR. From the moment a TBS is committed its row is completed with that same TBS, whatever crashes.
 */
export class CertificateAuthority {
  /** By issuer, as they are asked for. */
  readonly #templates = new Map<Issuer, ReadonlyMap<string, CertificateTemplate>>();
  /** By the issuer's id. */
  readonly #publishers = new Map<string, CrlPublisher>();
  readonly #allowedNames: NamePolicy;
  readonly #schedule: Schedule;
  #isClosed = false;

  /**
   * Loads the issuing CA (and makes it first, if the configuration says so), completes what a crash left unfinished, and sees
   * to a CRL in force.
   * @throws {CaError} ERR_CA_CONFIG_INVALID | ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE | ERR_CA_STORE_UNAVAILABLE
   * @throws {HsmError} when the token is not usable
   */
  static async open(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
    const config = parseCaConfig(options.config);
    const { token, certificates, authorities, crls, observer = {}, now = () => new Date() } = options;
    const issuance = new Issuance({ token, certificates, observer, now, ticketSeconds: config.ticketSeconds });
    const context: HierarchyContext = { config, token, certificates, authorities, issuance, observer, now };
    if (config.authority.initialize) await initializeHierarchy(context);
    const authority = new CertificateAuthority(context, await Issuers.load(context), crls);
    await authority.#recover();
    await authority.#refreshCrls();
    authority.#schedule.start();
    return authority;
  }

  private constructor(
    private readonly context: HierarchyContext,
    private readonly issuers: Issuers,
    private readonly crls: CrlStore,
  ) {
    const { config, observer, now } = context;
    this.#allowedNames = new NamePolicy(config.allowedNames);
    this.#schedule = new Schedule(
      { issuers: () => issuers.refresh(), recovery: () => this.#recover(now()), crl: () => this.#refreshCrls() },
      observer,
    );
  }

  /**
   * Issues a certificate for a CSR.
   * @param csr  PKCS #10, at most 64 KiB: DER octets, or PEM as octets or text
   * @throws {CaError} ERR_CA_CSR_* | ERR_CA_KEY_* | ERR_CA_NAME_* | ERR_CA_PROFILE_UNKNOWN | ERR_CA_CONSTRAINT_VIOLATED: refused,
   * nothing stored; ERR_CA_STORE_UNAVAILABLE | ERR_CA_ISSUER_UNUSABLE | ERR_CA_LINT_FAILED | ERR_CA_SIGNATURE_INVALID | ERR_CA_CLOSED
   * @throws {HsmError} the token could not sign
   */
  async issue(csr: Uint8Array | string, profile: ProfileName, options: IssueOptions = {}): Promise<IssuedCertificate> {
    return this.redeem(await this.prepare(csr, profile, options));
  }

  /** Decides about a CSR: what is returned may be signed once, until it expires. @throws as `issue` */
  async prepare(
    csr: Uint8Array | string,
    profileName: ProfileName,
    options: IssueOptions = {},
  ): Promise<IssuanceTicket> {
    this.#assertOpen();
    const issuer = this.issuers.ofProfile(profileName);
    const template = this.#template(issuer, profileName);
    const request = parseCsr(csr);
    const publicKey = acceptPublicKey(request.subjectPublicKeyInfo);
    verifyProofOfPossession(request, publicKey);
    const { names, commonName } = certifiedNames(request);
    this.#assertPermits(issuer, names);
    const order: CertificateOrder = {
      ...template,
      subject: encodeDistinguishedName({ commonName }),
      subjectPublicKeyInfo: request.subjectPublicKeyInfo.raw,
      names,
      validity: validityOf(template.profile, this.context.now(), issuer.certificate.validity),
      requester: options.requester ?? 'application',
    };
    return this.context.issuance.prepare(order);
  }

  /** Signs what `prepare` decided. @throws {CaError} ERR_CA_TICKET_REFUSED, else as `issue` */
  async redeem(ticket: IssuanceTicket): Promise<IssuedCertificate> {
    this.#assertOpen();
    return this.context.issuance.redeem(ticket);
  }

  /**
   * A certificate that an issuer in service has issued. One that is not finished is not there.
   * @param serial  hexadecimal, in any case
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND | ERR_CA_STORE_UNAVAILABLE
   */
  async find(serial: string): Promise<IssuedCertificate> {
    this.#assertOpen();
    const row = /^[0-9a-f]{1,40}$/i.test(serial)
      ? await this.context.certificates.find(serial.toLowerCase())
      : undefined;
    // One of another issuer, a CA's own for one, has no chain of ours to go with it.
    if (row?.certificate === undefined || this.issuers.find(row.issuerId) === undefined)
      throw new CaError(
        'ERR_CA_CERTIFICATE_NOT_FOUND',
        `certificate: want the serial of an issued one, got ${JSON.stringify(serial.slice(0, 64))}`,
      );
    return { serial: row.serial, issuerId: row.issuerId, der: row.certificate, notAfter: row.notAfter };
  }

  /** Every issuer in service, each in every generation that still has certificates to answer for. */
  get generations(): readonly Generation[] {
    return this.issuers.generations;
  }

  /** The issuing CA: the generation that signs new certificates now, of what no other issuer is named for. */
  get issuer(): Issuer {
    return this.issuers.active();
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
    return this.#generation(issuerId).issuer.chain;
  }

  /** Further chains of an issuer, up to other roots or by other ways (cross-signing). @throws as `chainOf` */
  alternativeChainsOf(issuerId: string): readonly Chain[] {
    return this.#generation(issuerId).alternativeChains;
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
    return this.#publisher(this.#generation(issuerId).issuer).current;
  }

  /** Ends the scheduled work. Every later call throws ERR_CA_CLOSED. The token and the database are the caller's. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#schedule.stop();
  }

  /**
   * Completes rows in `signing` with the TBS they have, and voids reserved rows whose ticket has expired. A row that is refused
   * is reported and does not keep the others waiting.
   * @param expiredBefore  leaves alone what this or another replica may be signing at this moment; absent: every row
   */
  async #recover(expiredBefore?: Date): Promise<void> {
    const { certificates, issuance, observer, now } = this.context;
    for (const { issuer } of this.issuers.generations) {
      for (const row of await certificates.listSigning(issuer.id, expiredBefore)) {
        try {
          await issuance.complete(row, this.#decideAgain(issuer, row));
        } catch (error) {
          if (!isCaError(error, 'ERR_CA_RECOVERY_REFUSED')) throw error;
          observer.jobFailed?.('recovery', error);
        }
      }
    }
    await certificates.voidExpired(now());
  }

  async #refreshCrls(): Promise<void> {
    for (const { issuer } of this.issuers.generations) await this.#publisher(issuer).refresh();
  }

  #publisher(authority: Issuer): CrlPublisher {
    let publisher = this.#publishers.get(authority.id);
    if (publisher === undefined) {
      const { token, config, observer, now } = this.context;
      const { validityHours } = config.crl;
      publisher = new CrlPublisher({ token, authority, crls: this.crls, validityHours, observer, now });
      this.#publishers.set(authority.id, publisher);
    }
    return publisher;
  }

  /** @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND */
  #generation(issuerId: string): Generation {
    const generation = this.issuers.find(issuerId);
    if (generation !== undefined) return generation;
    throw new CaError(
      'ERR_CA_CERTIFICATE_NOT_FOUND',
      `issuer: want the id of one in service, got ${JSON.stringify(issuerId.slice(0, 64))}`,
    );
  }

  /**
   * The order of an unfinished row by today's policy: a row of the database is no leave to sign.
   * @throws {CaError} ERR_CA_RECOVERY_REFUSED
   */
  #decideAgain(issuer: Issuer, { serial, profile, tbs }: CertificateRecord): UnfinishedOrder {
    try {
      const asked = readCommittedTbs(tbs ?? Buffer.alloc(0));
      this.#assertPermits(issuer, asked.names);
      return { ...this.#template(issuer, profile), ...asked };
    } catch (error) {
      throw recoveryRefused(serial, 'a TBS that would be issued today', error);
    }
  }

  /** @throws {CaError} ERR_CA_NAME_NOT_ALLOWED | ERR_CA_CONSTRAINT_VIOLATED */
  #assertPermits(issuer: Issuer, names: readonly GeneralName[]): void {
    this.#allowedNames.assertPermits(names);
    for (const authority of issuer.chain) authority.nameConstraints?.assertPermits(names);
  }

  #template(issuer: Issuer, name: string): CertificateTemplate {
    let templates = this.#templates.get(issuer);
    if (templates === undefined) {
      templates = certificateTemplates(this.context.config, issuer);
      this.#templates.set(issuer, templates);
    }
    const template = templates.get(name);
    if (template !== undefined) return template;
    throw new CaError(
      'ERR_CA_PROFILE_UNKNOWN',
      `profile: want one of ${profileNames.join(', ')}, got ${JSON.stringify(name.slice(0, 64))}`,
    );
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new CaError('ERR_CA_CLOSED', 'certificate authority: want an open one, got a closed one');
  }
}
