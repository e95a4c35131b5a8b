import { parseDer } from '../der/der-reader.js';
import { CaError, isCaError } from '../errors.js';
import type { CaObserver, CaStep } from '../observer.js';
import { searchNames } from '../search/search-names.js';
import type { CertificateRecord, CertificateStore } from '../store/certificate-store.js';
import type { CertificateIntent } from './certificate-intent.js';
import { type CertificateOrder, encodeOrder, type UnfinishedOrder } from './certificate-order.js';
import { certificateRulesFor } from './certificate-rules.js';
import { viewTbsCertificate } from './certificate-view.js';
import type { DecisionSeals } from './decision-seals.js';
import type { IssuerToken, SigningAuthority } from './issuer.js';
import { idempotencyInProgress } from './idempotency.js';
import { keyIdentifier } from './key-identifier.js';
import { LastingRefusals } from './lasting-refusals.js';
import { lint } from './lint.js';
import { SerialNumbers } from './serial-numbers.js';
import { assembleSigned, digestOf, isRefusal, signVerified } from './signing.js';
import { IssuanceTicket } from './ticket.js';

export interface IssuedCertificate {
  /** 32 hexadecimal digits, lower case. */
  readonly serial: string;
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  readonly der: Buffer;
  readonly notAfter: Date;
}

export interface IssuanceContext {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly ticketSeconds: number;
  /** Absent where no recovery is to sign what was left unfinished: its certificates are finished by whoever began them. */
  readonly seals?: DecisionSeals;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

interface Committed {
  readonly serial: string;
  readonly tbs: Buffer;
  readonly notAfter: Date;
}

const reservationAttempts = 3;

/** Two-phase signing: `prepare` reserves, encodes and lints; `redeem` commits, signs, verifies, compares and completes. */
export class Issuance {
  readonly #serials: SerialNumbers;
  readonly #refusals = new LastingRefusals();

  constructor(private readonly context: IssuanceContext) {
    this.#serials = new SerialNumbers(context.token);
  }

  /**
   * serial and row reserved → TBS → lint.
   * @throws {CaError} ERR_CA_KEY_COMPROMISED | ERR_CA_LINT_FAILED (the row is voided) | ERR_CA_STORE_UNAVAILABLE
   * @throws {HsmError} the token has no serial, or has just refused to sign with the issuer's key: nothing is reserved
   */
  async prepare(order: CertificateOrder): Promise<IssuanceTicket> {
    return this.#refusals.beforeTry(order.authority.id, () => this.#prepare(order));
  }

  async #prepare(order: CertificateOrder): Promise<IssuanceTicket> {
    const expiresAt = new Date(this.context.now().getTime() + this.context.ticketSeconds * 1000);
    const serial = await this.#reserve(order, expiresAt);
    const tbs = encodeOrder(order, serial);
    await this.#lint(tbs, serial.toString('hex'), order);
    const { authority, profile, requester, validity } = order;
    const binding = {
      serial: serial.toString('hex'),
      authority,
      profile,
      requester,
      notAfter: validity.notAfter,
      isAwaited: order.idempotency !== undefined,
      expiresAt,
    };
    return IssuanceTicket.seal(binding, tbs);
  }

  /**
   * TBS committed → signed → verified → compared → completed.
   * @throws {CaError} ERR_CA_TICKET_REFUSED | ERR_CA_SIGNATURE_INVALID | ERR_CA_STORE_UNAVAILABLE
   * @throws {HsmError} the row stays `signing` and recovery completes it; when the token refused to sign, and nobody may ask for it
   * again, recovery revokes it
   */
  async redeem(ticket: IssuanceTicket): Promise<IssuedCertificate> {
    const { serial, authority, profile, requester, notAfter, isAwaited } = ticket.binding;
    const now = this.context.now();
    const { tbs, digest } = ticket.redeem(now);
    const decided = {
      serial,
      issuerId: authority.id,
      profile: profile.name,
      profileVersion: profile.version,
      requester,
      tbsSha256: digest,
    };
    const seal = this.context.seals?.seal('certificate', decisionOf(decided));
    const redemption = { ...decided, tbs, seal, now };
    if (!(await this.context.certificates.commitTbs(redemption))) {
      throw new CaError(
        'ERR_CA_TICKET_REFUSED',
        `ticket ${serial}: want its row reserved, got it voided or redeemed elsewhere`,
      );
    }
    this.#step('certificate-committed', serial);
    try {
      const issued = await this.#sign(authority, { serial, tbs, notAfter });
      this.#refusals.signed(authority.id);
      return issued;
    } catch (error) {
      this.#refusals.failed(authority.id, error);
      // Each try of a caller would leave one that is signed later for nobody. If this fails, so it is.
      if (!isAwaited && isRefusal(error)) await this.context.certificates.disown(serial).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Completes a row in `signing` with the TBS it has, whoever left it there. Whoever can write to the database could have put
   * any TBS there, so it is linted once more against what would be issued today.
   * @throws {CaError} ERR_CA_RECOVERY_REFUSED; else as `redeem`
   */
  async complete(row: CertificateRecord, order: UnfinishedOrder): Promise<IssuedCertificate> {
    const { serial, tbs, tbsSha256, notAfter } = row;
    if (tbs === undefined || digestOf(tbs) !== tbsSha256 || row.issuerId !== order.authority.id)
      throw recoveryRefused(serial, `a TBS of issuer ${order.authority.id} with the committed SHA-256`);
    try {
      lintCertificate(tbs, serial, order);
      await this.#assertNotCompromised(order);
    } catch (error) {
      if (isCaError(error, 'ERR_CA_STORE_UNAVAILABLE')) throw error;
      throw recoveryRefused(serial, 'a TBS that would be issued today', error);
    }
    return this.#sign(order.authority, { serial, tbs, notAfter });
  }

  async #reserve(order: CertificateOrder, ticketExpiresAt: Date): Promise<Buffer> {
    for (let attempt = 0; attempt < reservationAttempts; attempt += 1) {
      const serial = await this.#serials.next();
      const isReserved = await this.context.certificates.reserve({
        serial: serial.toString('hex'),
        issuerId: order.authority.id,
        profile: order.profile.name,
        profileVersion: order.profile.version,
        requester: order.requester,
        subjectKeyId: keyIdentifier(order.subjectPublicKeyInfo).toString('hex'),
        isAuthority: order.profile.authority !== undefined,
        ...order.validity,
        renews: order.renews,
        ...order.idempotency,
        spkiSha256: digestOf(order.subjectPublicKeyInfo),
        searchNames: searchNames(parseDer(order.subject), order.names),
        reservedAt: this.context.now(),
        ticketExpiresAt,
      });
      if (!isReserved) {
        await this.#assertNotCompromised(order);
        await this.#assertKeyFree(order);
        continue;
      }
      this.#step('certificate-reserved', serial.toString('hex'));
      return serial;
    }
    throw new CaError('ERR_CA_STATE_CONFLICT', `serial: want one that is free, got ${reservationAttempts} taken ones`);
  }

  /** @throws {CaError} ERR_CA_KEY_COMPROMISED */
  async #assertNotCompromised({ subjectPublicKeyInfo }: Pick<CertificateOrder, 'subjectPublicKeyInfo'>): Promise<void> {
    const digest = digestOf(subjectPublicKeyInfo);
    if (await this.context.certificates.isCompromised(digest))
      throw new CaError(
        'ERR_CA_KEY_COMPROMISED',
        `public key: want one that nobody reported as compromised, got SHA-256 ${digest}`,
      );
  }

  /** Somebody else's request with the same idempotency key was first. @throws {CaError} ERR_CA_IDEMPOTENCY_IN_PROGRESS */
  async #assertKeyFree({ idempotency }: CertificateOrder): Promise<void> {
    if (idempotency === undefined) return;
    const row = await this.context.certificates.findByIdempotencyKey(idempotency.idempotencyKey);
    if (row !== undefined) throw idempotencyInProgress();
  }

  async #lint(tbs: Buffer, serial: string, order: CertificateOrder): Promise<void> {
    try {
      lintCertificate(tbs, serial, order);
    } catch (error) {
      // What is wrong with the TBS matters more; a row that stays reserved is voided when its ticket expires.
      await this.context.certificates.void(serial).catch(() => undefined);
      throw error;
    }
    this.#step('certificate-linted', serial);
  }

  async #sign(authority: SigningAuthority, { serial, tbs, notAfter }: Committed): Promise<IssuedCertificate> {
    const { token, certificates, now } = this.context;
    const signature = await signVerified(token, authority, tbs);
    this.#step('certificate-signed', serial);
    const der = assembleSigned(tbs, authority, signature);
    if (!(await certificates.complete(serial, der, now()))) return this.#completedElsewhere(authority.id, serial);
    this.#step('certificate-completed', serial);
    return { serial, issuerId: authority.id, der, notAfter };
  }

  /** Recovery of another replica was faster: its certificate counts, made from the same TBS. */
  async #completedElsewhere(issuerId: string, serial: string): Promise<IssuedCertificate> {
    const row = await this.context.certificates.find(serial);
    if (row?.certificate !== undefined) return { serial, issuerId, der: row.certificate, notAfter: row.notAfter };
    throw new CaError(
      'ERR_CA_STATE_CONFLICT',
      `certificate ${serial}: want its row signing or issued, got ${row?.state ?? 'none'}`,
    );
  }

  #step(step: CaStep, serial: string): void {
    this.context.observer.step?.(step, serial);
  }
}

/** @throws {CaError} ERR_CA_LINT_FAILED */
function lintCertificate(tbs: Buffer, serial: string, order: UnfinishedOrder): void {
  const { authority, ...decided } = order;
  const serialOctets = Buffer.from(serial, 'hex');
  const intent: CertificateIntent = {
    ...decided,
    selfSigned: order.issuerValidity === undefined,
    serial: serialOctets,
    fixedExtensions: [...order.fixedExtensions, ...(order.serialExtensions?.(serialOctets) ?? [])],
    issuerName: authority.name,
    issuerKeyIdentifier: authority.keyIdentifier,
    signatureAlgorithm: authority.signatureAlgorithm.identifier,
  };
  const rules = certificateRulesFor(order.profile);
  lint(`certificate ${serial}`, tbs, (node) => ({ view: viewTbsCertificate(node), intent }), rules);
}

/** What is sealed of a certificate that is about to be signed. */
export function decisionOf(
  row: Pick<CertificateRecord, 'serial' | 'issuerId' | 'profile' | 'profileVersion' | 'requester' | 'tbsSha256'>,
): string[] {
  const { serial, issuerId, profile, profileVersion, requester, tbsSha256 = '' } = row;
  return [serial, issuerId, profile, profileVersion, requester, tbsSha256];
}

/** Nothing is signed, and nothing that may have been signed is forgotten. */
export function recoveryRefused(serial: string, want: string, cause?: unknown): CaError {
  const got = cause instanceof Error ? cause.message : 'another';
  return new CaError('ERR_CA_RECOVERY_REFUSED', `unfinished certificate ${serial}: want ${want}, got ${got}`, {
    cause,
  });
}
