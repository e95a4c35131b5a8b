import type { ParsedCaConfig } from '../config.js';
import type { AbsentCa } from '../authority/absent-cas.js';
import { CaError } from '../errors.js';
import type { UnfinishedOrder } from '../issuance/certificate-order.js';
import type { Issuance } from '../issuance/issuance.js';
import type { Issuer, IssuerToken } from '../issuance/issuer.js';
import { issuerLocations } from '../issuance/locations.js';
import type { CaObserver } from '../observer.js';
import { OcspResponder } from '../ocsp/ocsp-responder.js';
import { OcspSigner } from '../ocsp/ocsp-signer.js';
import { Presigning } from '../ocsp/presigning.js';
import { responderProfileName } from '../ocsp/responder-order.js';
import { ResponderCredential } from '../ocsp/responder-credential.js';
import type { Profile } from '../profile/profile.js';
import type { CertificateStore } from '../store/certificate-store.js';
import type { CrlScope, CrlStore } from '../store/crl-store.js';
import type { OcspStore } from '../store/ocsp-store.js';
import type { RevocationRecord, RevocationStore } from '../store/revocation-store.js';
import { CompromisedKeys, type Revoked, type RevokeKeyOptions } from './compromised-keys.js';
import type { CrlWatch } from './crl-watch.js';
import { IssuerCrls } from './issuer-crls.js';
import { KeptCrls } from './kept-crls.js';
import { Revocations, type RevokeOptions } from './revocations.js';
import type { PublishedCrl } from './stored-crl.js';

export interface CertificateStatusContext {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly crls: CrlStore;
  readonly revocations: RevocationStore;
  readonly ocsp: OcspStore;
  readonly issuance: Issuance;
  readonly config: Pick<ParsedCaConfig, 'crl' | 'ocsp' | 'publicUrl' | 'ticketSeconds'>;
  readonly profiles: ReadonlyMap<string, Pick<Profile, 'ocsp' | 'noRevocation'>>;
  readonly observer: CaObserver;
  readonly now: () => Date;
  /** Who is in service at this moment, each generation of its own. */
  readonly issuers: () => readonly Issuer[];
  /** CAs above them whose keys are at hand: they publish CRLs, and sign nothing else. */
  readonly superiors: readonly Issuer[];
  /** CAs of ours that cannot sign here now, and whose CRLs are looked for. */
  readonly absent: () => Promise<readonly AbsentCa[]>;
}

/** What relying parties may know of the certificates of all issuers in service, and how it is changed. */
export class CertificateStatus {
  /** By the issuer's id. */
  readonly #crls = new Map<string, IssuerCrls>();
  /** Of CAs that cannot sign here, by the CA's id. */
  readonly #kept = new Map<string, KeptCrls>();
  readonly #revocations: Revocations;
  readonly #compromisedKeys: CompromisedKeys;
  readonly #signers = new Map<string, OcspSigner>();
  /** Absent: the configuration has no OCSP. */
  readonly ocsp: OcspResponder | undefined;
  readonly #presigning: Presigning | undefined;

  constructor(private readonly context: CertificateStatusContext) {
    const { certificates, revocations, now, config, profiles } = context;
    this.ocsp = config.ocsp && new OcspResponder(context);
    this.#presigning =
      config.ocsp &&
      new Presigning({
        ...context,
        ...config.ocsp,
        ticketSeconds: config.ticketSeconds,
        // Nobody is to ask about the responder itself (id-pkix-ocsp-nocheck).
        namesResponder: (name) => name !== responderProfileName && namesResponder(profiles.get(name)),
        signers: () => this.#inService,
      });
    // Of a CA that cannot sign here now the row is what the next CRL will say.
    const isInService = (issuerId: string): boolean =>
      this.#kept.has(issuerId) || this.#authorities.some(({ id }) => id === issuerId);
    this.#revocations = new Revocations({
      certificates,
      revocations,
      now,
      isInService,
      presign: async (change) => (await this.ocsp?.presign(change)) ?? [],
      changed: ({ issuerId, serial }) => {
        this.ocsp?.forget(issuerId, serial);
        this.#crls.get(issuerId)?.request();
      },
    });
    this.#compromisedKeys = new CompromisedKeys({ certificates, revocations: this.#revocations, isInService, now });
  }

  /**
   * Sees to every CRL in force. One of a CA above the issuers keeps nobody from starting.
   * @throws {CaError} @throws {HsmError} when an issuer has none and none can be made
   */
  async open(): Promise<void> {
    const { observer } = this.context;
    for (const issuer of this.context.issuers()) await this.#crlsOf(issuer).open();
    for (const superior of this.context.superiors)
      await this.#crlsOf(superior).open().catch((error: unknown) => observer.jobFailed?.('crl', error)); // prettier-ignore
    await this.#keepCrls();
    await this.#serveOcsp();
  }

  /** What another replica has made: CRLs and responder certificates. A CRL that is overdue is made here. @throws as `refreshCrls` */
  async takeOver(): Promise<void> {
    await this.#serveOcsp();
    await this.#ofEachCa((crls) => crls.takeOver());
  }

  /** What is due, of every CA in service. One that fails keeps no other waiting. @throws {CaError} @throws {HsmError} the first failure */
  async refreshCrls(): Promise<void> {
    await this.#ofEachCa((crls) => crls.refresh());
  }

  /** The next of every CRL whose CA can sign here, due or not: while a key that is kept elsewhere is at hand. @throws as `refreshCrls` */
  async renewCrls(): Promise<void> {
    await this.#ofEachCa((crls) => crls.renew());
  }

  async #ofEachCa(work: (crls: IssuerCrls) => Promise<void>): Promise<void> {
    const authorities = this.#authorities;
    const failures: unknown[] = [];
    for (const authority of authorities)
      await work(this.#crlsOf(authority)).catch((error: unknown) => failures.push(error));
    const inService = new Set(authorities.map(({ id }) => id));
    for (const [id, crls] of this.#crls) {
      if (inService.has(id)) continue;
      await crls.close();
      this.#crls.delete(id);
    }
    await this.#keepCrls();
    if (failures.length > 0) throw failures[0];
  }

  /** What is stored of CAs that cannot sign here is served and watched. */
  async #keepCrls(): Promise<void> {
    const absent = await this.context.absent();
    for (const id of this.#kept.keys()) if (!absent.some((ca) => ca.id === id)) this.#kept.delete(id);
    for (const { id, isOffline } of absent) {
      const kept = this.#kept.get(id) ?? new KeptCrls(this.context.crls, id, isOffline);
      await kept.refresh();
      this.#kept.set(id, kept);
    }
  }

  /** Takes over and renews responder certificates, and signs responses before they are asked for. */
  async refreshOcsp(): Promise<void> {
    await this.#serveOcsp();
    await this.#presigning?.run();
  }

  /** A run of `refreshOcsp` that is under way ends soon. */
  endPresigning(): void {
    this.#presigning?.close();
  }

  /** What an unfinished certificate of an issuer's OCSP responder is held against. */
  async unfinishedResponder(issuer: Issuer): Promise<UnfinishedOrder | undefined> {
    return this.#signer(issuer)?.credential.unfinishedOrder();
  }

  /** @throws as `CompromisedKeys.revoke` */
  async revoke(serial: string, options?: RevokeKeyOptions): Promise<Revoked> {
    return this.#compromisedKeys.revoke(serial, options);
  }

  /** @throws as `Revocations.release` */
  async release(serial: string, options?: Omit<RevokeOptions, 'reason' | 'invalidityDate'>): Promise<RevocationRecord> {
    return this.#revocations.release(serial, options);
  }

  /** @throws as `Revocations.find` */
  async find(serial: string): Promise<RevocationRecord | undefined> {
    return this.#revocations.find(serial);
  }

  /** A CRL in force. @throws {CaError} ERR_CA_CRL_NOT_FOUND */
  crl({ issuerId, ...file }: CrlScope): PublishedCrl {
    const crls = this.#crls.get(issuerId) ?? this.#kept.get(issuerId);
    if (crls !== undefined) return crls.find(file);
    throw new CaError(
      'ERR_CA_CRL_NOT_FOUND',
      `CRL: want one of an issuer in service, got ${JSON.stringify(issuerId.slice(0, 64))}`,
    );
  }

  /** Every CRL that must not lapse, and how it stands. */
  watch(now = this.context.now()): CrlWatch[] {
    return [...this.#crls.values(), ...this.#kept.values()].flatMap((crls) => crls.watch(now));
  }

  async close(): Promise<void> {
    for (const crls of this.#crls.values()) await crls.close();
  }

  /** A responder without a certificate keeps nobody from serving: it answers tryLater. */
  async #serveOcsp(): Promise<void> {
    const signers = this.#inService;
    for (const { credential } of signers) {
      try {
        await credential.refresh();
      } catch (error) {
        this.context.observer.jobFailed?.('ocsp', error);
      }
    }
    this.ocsp?.serve(signers);
  }

  get #inService(): OcspSigner[] {
    return this.context.issuers().flatMap((issuer) => this.#signer(issuer) ?? []);
  }

  #signer(issuer: Issuer): OcspSigner | undefined {
    const { ocsp } = this.context.config;
    let signer = this.#signers.get(issuer.id);
    if (signer !== undefined || ocsp === undefined) return signer;
    const { config } = this.context;
    const credential = new ResponderCredential(
      {
        ...this.context,
        validityDays: ocsp.responderDays,
        locations: ({ id }) => issuerLocations(config, id),
      },
      issuer,
    );
    signer = new OcspSigner({ ...this.context, validityHours: ocsp.validityHours }, issuer, credential);
    this.#signers.set(issuer.id, signer);
    return signer;
  }

  get #authorities(): Issuer[] {
    return [...this.context.issuers(), ...this.context.superiors];
  }

  #crlsOf(authority: Issuer): IssuerCrls {
    let crls = this.#crls.get(authority.id);
    if (crls === undefined) {
      const { config, certificates, superiors, ...context } = this.context;
      const { caValidityHours, spacingSeconds, ...own } = config.crl;
      // The few CAs below a CA need no parts of a CRL.
      const { validityHours, shards, deltaHours } = superiors.includes(authority)
        ? { validityHours: caValidityHours, shards: 1, deltaHours: undefined }
        : own;
      crls = new IssuerCrls({
        ...context,
        authority,
        validityHours,
        spacingSeconds,
        shards,
        deltaHours,
        publicUrl: config.publicUrl,
        exclusively: certificates.exclusively.bind(certificates),
      });
      this.#crls.set(authority.id, crls);
    }
    return crls;
  }
}

/** An empty list says that its certificates name none. One that the configuration has no more may have named one. */
function namesResponder(profile: Pick<Profile, 'ocsp' | 'noRevocation'> | undefined): boolean {
  return profile?.noRevocation !== true && profile?.ocsp?.length !== 0;
}
