import { parseDer } from '../der/der-reader.js';
import { contextPrimitive } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { type CertificateView, viewTbsCertificate } from '../issuance/certificate-view.js';
import { digestOf } from '../issuance/signing.js';
import { responderProfileName } from '../ocsp/responder-order.js';
import { isForumPolicy } from '../profile/public-style.js';
import type { CertificateRecord, CertificateStore } from '../store/certificate-store.js';
import type { StoredOcspResponse } from '../store/ocsp-store.js';
import type { RevocationRecord, RevocationStore, StatusChange, StatusDecision } from '../store/revocation-store.js';
import { shardOfLocation } from './crl-location.js';
import { forumReasons, requestableReasons, type RevocationReason } from './revocation-reason.js';

export interface RevokeOptions {
  /** Default `unspecified`. `certificateHold` may be released again. */
  readonly reason?: RevocationReason;
  /** Since when the key is suspected; not in the future. */
  readonly invalidityDate?: Date;
  /** Who asks; kept with the revocation. */
  readonly requester?: string;
  /** Profiles whose certificates they may revoke; absent: any. */
  readonly profiles?: ReadonlySet<string>;
  /** The CA's own certificates too: those of CAs and of OCSP responders. Not for a single caller over the network. */
  readonly includesOwn?: boolean;
}

export interface RevocationsContext {
  readonly certificates: CertificateStore;
  readonly revocations: RevocationStore;
  /** Whether an issuer is in service. */
  readonly isInService: (issuerId: string) => boolean;
  /** OCSP responses that say so, signed; none when they cannot be signed now. */
  readonly presign: (change: StatusChange) => Promise<readonly StoredOcspResponse[]>;
  readonly changed: (record: RevocationRecord) => void;
  readonly now: () => Date;
}

interface Subject extends Pick<CertificateRecord, 'issuerId' | 'serial' | 'notAfter' | 'subjectKeyId' | 'isAuthority'> {
  /** Undefined for an unfinished one that cannot be read. */
  readonly view: CertificateView | undefined;
  /** It may have been signed, and nobody has got it. */
  readonly isUnfinished: boolean;
}

/** Decides what becomes of a certificate's status. One row by its key is read and one written, whatever else there is. */
export class Revocations {
  constructor(private readonly context: RevocationsContext) {}

  /**
   * Revokes a certificate, or puts it on hold. Asked for again it changes nothing, but that a hold becomes a revocation and that
   * any reason may become keyCompromise; both keep the first date. One that a crash left unfinished is never finished then.
   * @param serial  hexadecimal, in any case
   * @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND | ERR_CA_REVOCATION_INVALID | ERR_CA_REVOCATION_CONFLICT | ERR_CA_STORE_UNAVAILABLE
   */
  async revoke(serial: string, options: RevokeOptions = {}): Promise<RevocationRecord> {
    const { reason = 'unspecified', requester = 'application' } = options;
    const at = wholeSeconds(this.context.now());
    if (!requestableReasons.includes(reason))
      throw invalid(
        `reason: want one of ${requestableReasons.join(', ')}, got ${JSON.stringify(String(reason).slice(0, 64))}`,
      );
    const invalidityDate = options.invalidityDate && wholeSeconds(options.invalidityDate);
    if (invalidityDate !== undefined && !(invalidityDate <= at && invalidityDate.getTime() >= 0))
      throw invalid('invalidity date: want a time from 1970 on that is not in the future, got another');
    const subject = await this.#subject(serial, options);
    const { issuerId, notAfter } = subject;
    if (subject.view !== undefined && isUnderForumPolicy(subject.view) && !forumReasons.includes(reason))
      throw invalid(
        `reason: want one of ${forumReasons.join(', ')} for a certificate under a policy of the CA/Browser Forum (CABF BR §7.2.2), got ${reason}`,
      );
    const state = reason === 'certificateHold' ? ('held' as const) : ('revoked' as const);
    const wanted = { issuerId, serial: subject.serial, state, reason, invalidityDate, requester, notAfter };
    const shard = subject.view === undefined ? 0 : shardOf(subject.view);
    const compromisedKey = isOfItsKey(reason, subject) ? digestOfKey(subject.view) : undefined;
    const record = await this.#change(subject, (current) =>
      decide({ ...wanted, shard, revokedAt: at, compromisedKey }, current),
    );
    // Whoever asks for it again gets another one; not while this one may still be finished.
    if (subject.isUnfinished && state === 'revoked')
      await this.context.certificates.forgetIdempotencyKey(subject.serial);
    return record;
  }

  /**
   * Ends a hold; delta CRLs then say removeFromCRL. Asked for again it changes nothing.
   * @throws {CaError} ERR_CA_REVOCATION_CONFLICT when the certificate is not on hold, ERR_CA_KEY_COMPROMISED, else as `revoke`
   */
  async release(
    serial: string,
    options: Omit<RevokeOptions, 'reason' | 'invalidityDate'> = {},
  ): Promise<RevocationRecord> {
    const { requester = 'application' } = options;
    const subject = await this.#subject(serial, options);
    const held = await this.context.revocations.find(subject.issuerId, subject.serial);
    if (held?.state === 'held') await this.#assertNotCompromised(subject);
    return this.#change(subject, (current) => {
      if (current?.state === 'released') return undefined;
      if (current?.state !== 'held') throw conflict(serial, 'one on hold', current);
      return { ...withoutSequence(current), state: 'released', requester };
    });
  }

  /** The identifier of a certificate's key, for whoever may revoke it. @throws as `revoke` */
  async keyOf(serial: string, who: Pick<RevokeOptions, 'profiles' | 'includesOwn'>): Promise<string> {
    return (await this.#subject(serial, who)).subjectKeyId;
  }

  /** What was decided about an issued certificate; undefined: nothing, so it is good. @throws as `revoke` */
  async find(serial: string): Promise<RevocationRecord | undefined> {
    const subject = await this.#subject(serial, { includesOwn: true });
    const record = await this.context.revocations.find(subject.issuerId, subject.serial);
    if (record === undefined && subject.isUnfinished) throw notFound(serial);
    return record;
  }

  /**
   * The responses are signed before the transaction, which an HSM must not hold up; in it they are kept only if the decision is
   * still the same.
   */
  async #change({ issuerId, serial }: Subject, decision: StatusDecision): Promise<RevocationRecord> {
    const { revocations, presign, changed } = this.context;
    const current = await revocations.find(issuerId, serial);
    const expected = decision(current);
    if (expected === undefined && current !== undefined) return current;
    const responses = expected === undefined ? [] : await presign(expected);
    const isExpected = (change: StatusChange): boolean =>
      change.state === expected?.state &&
      change.reason === expected.reason &&
      +change.revokedAt === +expected.revokedAt;
    const record = await revocations.change(issuerId, serial, decision, (change) =>
      isExpected(change) ? responses : [],
    );
    if (record === undefined) throw new CaError('ERR_CA_STATE_CONFLICT', `status of ${serial}: want a row, got none`);
    changed(record);
    return record;
  }

  /** Another certificate of its key may have been revoked since it was held. @throws {CaError} ERR_CA_KEY_COMPROMISED */
  async #assertNotCompromised({ serial, view }: Subject): Promise<void> {
    const key = digestOfKey(view);
    if (key !== undefined && (await this.context.certificates.isCompromised(key)))
      throw new CaError(
        'ERR_CA_KEY_COMPROMISED',
        `certificate ${serial}: want one whose key nobody reported as compromised to be released, got SHA-256 ${key}`,
      );
  }

  /** Only what an issuer in service has issued, or may have. */
  async #subject(serial: string, who: Pick<RevokeOptions, 'profiles' | 'includesOwn'>): Promise<Subject> {
    const row = /^[0-9a-f]{1,40}$/i.test(serial)
      ? await this.context.certificates.find(serial.toLowerCase())
      : undefined;
    const isTheirs = row !== undefined && (who.profiles === undefined || who.profiles.has(row.profile));
    if (isTheirs && !mayRevoke(row, who)) throw conflict(serial, "an end entity's, not one of the CA's own", undefined);
    if (!isTheirs || !this.context.isInService(row.issuerId)) throw notFound(serial);
    const isUnfinished = row.state === 'signing';
    if (row.state !== 'issued' && !isUnfinished) throw notFound(serial);
    const { issuerId, notAfter, subjectKeyId, isAuthority } = row;
    return { issuerId, serial: row.serial, notAfter, subjectKeyId, isAuthority, view: viewOf(row), isUnfinished };
  }
}

/** Whether a certificate is of a profile whose certificates they may revoke, and none of the CA's own unless they may revoke those. */
export function mayRevoke(
  { profile, isAuthority }: Pick<CertificateRecord, 'profile' | 'isAuthority'>,
  { profiles, includesOwn = false }: Pick<RevokeOptions, 'profiles' | 'includesOwn'>,
): boolean {
  const isOwn = isAuthority || profile === responderProfileName;
  return (profiles === undefined || profiles.has(profile)) && (includesOwn || !isOwn);
}

function decide(wanted: StatusChange, current: RevocationRecord | undefined): StatusChange | undefined {
  if (current === undefined || current.state === 'released') return wanted;
  const isSame = current.state === wanted.state && current.reason === wanted.reason;
  if (isSame) return undefined;
  const isWorse = current.state === 'held' || wanted.reason === 'keyCompromise';
  if (!isWorse) throw conflict(wanted.serial, `reason ${wanted.reason}`, current);
  return { ...wanted, revokedAt: current.revokedAt, invalidityDate: wanted.invalidityDate ?? current.invalidityDate };
}

function viewOf({ certificate, tbs = Buffer.alloc(0) }: CertificateRecord): CertificateView | undefined {
  if (certificate !== undefined) return viewTbsCertificate(parseDer(certificate).children[0]);
  try {
    return viewTbsCertificate(parseDer(tbs));
  } catch {
    // Somebody put it in the place of what was committed: the complete CRL tells of the serial all the same.
    return undefined;
  }
}

/** It says that the Baseline Requirements are kept, which know no hold (CABF BR §4.9.13). */
function isUnderForumPolicy({ extensions }: CertificateView): boolean {
  const policies = extensions.find(({ oid }) => oid === oids.certificatePolicies)?.value.children ?? [];
  return policies.some(({ children: [policy] }) => isForumPolicy(decodeOid(policy.content)));
}

/** `cACompromise` says of a CA's own certificate what keyCompromise says of another one (RFC 5280 §5.3.1). */
function isOfItsKey(reason: RevocationReason, { isAuthority }: Pick<Subject, 'isAuthority'>): boolean {
  return reason === 'keyCompromise' || (reason === 'cACompromise' && isAuthority);
}

function digestOfKey(view: CertificateView | undefined): string | undefined {
  return view && digestOf(view.subjectPublicKeyInfo.raw);
}

/** The distribution point is fixed in the certificate, so it is read there. */
function shardOf(view: CertificateView): number {
  const points = view.extensions.find(({ oid }) => oid === oids.crlDistributionPoints)?.value.children ?? [];
  const uris = points.flatMap((point) => point.children[0]?.children[0]?.children ?? []);
  return Math.max(
    0,
    ...uris
      .filter(({ tag }) => tag === contextPrimitive(6))
      .map(({ content }) => shardOfLocation(content.toString('latin1'))),
  );
}

function withoutSequence({ sequence: _, ...change }: RevocationRecord): StatusChange {
  return change;
}

function wholeSeconds(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

function notFound(serial: string): CaError {
  return new CaError(
    'ERR_CA_CERTIFICATE_NOT_FOUND',
    `certificate: want the serial of an issued one, got ${JSON.stringify(serial.slice(0, 64))}`,
  );
}

function invalid(message: string): CaError {
  return new CaError('ERR_CA_REVOCATION_INVALID', message);
}

function conflict(serial: string, want: string, current: RevocationRecord | undefined): CaError {
  const got = current === undefined ? 'one that is good' : `one ${current.state} for ${current.reason}`;
  return new CaError('ERR_CA_REVOCATION_CONFLICT', `certificate ${serial}: want ${want}, got ${got}`);
}
