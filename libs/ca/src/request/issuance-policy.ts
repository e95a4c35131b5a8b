import type { AuthorityNames } from '../authority/authority-names.js';
import { CaError } from '../errors.js';
import { readCommittedTbs } from '../issuance/committed-tbs.js';
import { CertificateTemplate } from '../issuance/certificate-template.js';
import type { CertificateOrder, UnfinishedOrder } from '../issuance/certificate-order.js';
import type { Issuer } from '../issuance/issuer.js';
import type { IssuerLocations } from '../issuance/locations.js';
import { validityOf } from '../issuance/validity.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { askedNames, type CertifiedNames, certifiedNames } from '../profile/certified-names.js';
import type { Profile } from '../profile/profile.js';
import { type CertificationRequest, parseCsr, requestedAttribute } from './csr.js';
import { assertKeyFits, readPublicKey } from './key-policy.js';
import type { NameAuthorisation } from './name-policy.js';
import { verifyProofOfPossession } from './proof-of-possession.js';

/** Who asks, and who has approved. */
export interface Requester {
  /** The authenticated identity, as the edge writes it; kept with the certificate. */
  readonly requester: string;
  /** Who approved the request, for a profile that wants somebody to. */
  readonly approver?: string;
}

/** Decides what may be issued: every refusal is here, and nothing here signs or stores. */
export class IssuancePolicy {
  readonly #templates = new WeakMap<Issuer, Map<string, CertificateTemplate>>();

  constructor(
    /** The profiles a requester may ask for, by name. */
    readonly profiles: ReadonlyMap<string, Profile>,
    private readonly names: NameAuthorisation,
    private readonly authorityNames: Pick<AuthorityNames, 'include'>,
    private readonly locations: (issuer: Issuer) => IssuerLocations,
  ) {}

  /** @throws {CaError} ERR_CA_PROFILE_UNKNOWN */
  profile(name: string): Profile {
    const profile = this.profiles.get(name);
    if (profile !== undefined) return profile;
    throw new CaError(
      'ERR_CA_PROFILE_UNKNOWN',
      `profile: want one of ${[...this.profiles.keys()].join(', ')}, got ${JSON.stringify(name.slice(0, 64))}`,
    );
  }

  /**
   * A CSR as an order, decided in full.
   * @throws {CaError} ERR_CA_CSR_* | ERR_CA_KEY_* | ERR_CA_NAME_* | ERR_CA_CONSTRAINT_VIOLATED | ERR_CA_APPROVAL_REQUIRED |
   * ERR_CA_ISSUER_UNUSABLE
   */
  async order(
    csr: Uint8Array | string,
    profile: Profile,
    issuer: Issuer,
    who: Requester,
    now: Date,
  ): Promise<CertificateOrder> {
    assertApproved(profile, who);
    const request = parseCsr(csr);
    const key = readPublicKey(request.subjectPublicKeyInfo);
    assertKeyFits(profile, key);
    await verifyProofOfPossession(request, key);
    assertRequestFits(profile, request);
    const certified = certifiedNames(profile, {
      names: request.names,
      attribute: (name) => requestedAttribute(request, name),
    });
    this.#assertPermits(profile, issuer, certified, who.requester);
    return {
      ...this.#template(profile, issuer).contentFor(key.kind),
      subject: encodeDistinguishedName(certified.subject),
      subjectPublicKeyInfo: request.subjectPublicKeyInfo.raw,
      names: certified.names,
      validity: validityOf(profile, now, issuer.certificate.validity),
      requester: who.requester,
    };
  }

  /**
   * The order of an unfinished row by today's policy: a row of the database is no leave to sign.
   * @throws {DerError | TypeError | CaError} when it would not be issued today
   */
  orderOf(
    row: { readonly profile: string; readonly requester: string; readonly tbs: Buffer },
    issuer: Issuer,
  ): UnfinishedOrder {
    const profile = this.profile(row.profile);
    const { certified, key, order } = readCommittedTbs(row.tbs);
    assertKeyFits(profile, key);
    this.#assertPermits(profile, issuer, certified, row.requester);
    return { ...this.#template(profile, issuer).contentFor(key.kind), ...order };
  }

  /** @throws {CaError} ERR_CA_NAME_* | ERR_CA_CONSTRAINT_VIOLATED */
  #assertPermits(profile: Profile, issuer: Issuer, certified: CertifiedNames, requester: string): void {
    this.names.authorise(requester, profile, askedNames(profile, certified));
    if (this.authorityNames.include(certified.subject))
      throw new CaError(
        'ERR_CA_NAME_NOT_ALLOWED',
        "subject: want one of its own, got the name of one of this CA's CAs",
      );
    for (const authority of issuer.chain) authority.nameConstraints?.assertPermits(certified.names);
  }

  #template(profile: Profile, issuer: Issuer): CertificateTemplate {
    let templates: Map<string, CertificateTemplate> | undefined = this.#templates.get(issuer);
    if (templates === undefined) {
      templates = new Map();
      this.#templates.set(issuer, templates);
    }
    let template = templates.get(profile.name);
    if (template === undefined) {
      template = new CertificateTemplate(profile, issuer, this.locations(issuer));
      templates.set(profile.name, template);
    }
    return template;
  }
}

/** Four eyes: whoever asks does not approve as well. @throws {CaError} ERR_CA_APPROVAL_REQUIRED */
export function assertApproved(profile: Profile, { requester, approver }: Requester): void {
  if (profile.approval && (approver === undefined || approver === requester))
    throw new CaError(
      'ERR_CA_APPROVAL_REQUIRED',
      `profile ${profile.name}: want the approval of somebody else than ${requester}, got ${approver === undefined ? 'none' : 'their own'}`,
    );
}

/** What a request asks for and the profile does not give is refused rather than left out, so that nobody believes to have got it. */
function assertRequestFits(profile: Profile, { asksForCa, asksForStapling }: CertificationRequest): void {
  const refuse = (want: string, got: string): never => {
    throw new CaError('ERR_CA_CSR_CONTENT_REFUSED', `requested extension: want ${want}, got ${got}`);
  };
  if (asksForCa && profile.authority === undefined)
    refuse('an end-entity certificate', 'BasicConstraints with cA or pathLen');
  if (asksForStapling && !profile.mustStaple)
    refuse('one that a profile decides', `a TLS feature, which profile ${profile.name} does not give`);
}
