import { absentCas, assertIssuersNamed } from './authority/absent-cas.js';
import { AuthorityNames } from './authority/authority-names.js';
import { type HierarchyContext, initializeHierarchy } from './authority/hierarchy.js';
import { Issuers } from './authority/issuers.js';
import { loadSuperiors } from './authority/superiors.js';
import { type CaConfig, parseCaConfig } from './config.js';
import { DecisionSeals } from './issuance/decision-seals.js';
import { Issuance } from './issuance/issuance.js';
import type { IssuerToken } from './issuance/issuer.js';
import { issuerLocations } from './issuance/locations.js';
import { Recovery } from './issuance/recovery.js';
import { authorityJobs } from './jobs/authority-jobs.js';
import type { CaObserver } from './observer.js';
import { loadProfiles } from './profile/profile-file.js';
import { IssuancePolicy } from './request/issuance-policy.js';
import { NamePolicy } from './request/name-policy.js';
import { Requests } from './request/requests.js';
import { CertificateStatus } from './revocation/certificate-status.js';
import type { JobRunner, SharedJobs } from './schedule.js';
import type { AuthorityStore } from './store/authority-store.js';
import type { CertificateSearchStore } from './store/certificate-search-store.js';
import type { CertificateStore } from './store/certificate-store.js';
import type { CrlStore } from './store/crl-store.js';
import type { ExpiryStore } from './store/expiry-store.js';
import type { OcspStore } from './store/ocsp-store.js';
import type { OrderStore } from './store/order-store.js';
import type { RevocationStore } from './store/revocation-store.js';

export interface CertificateAuthorityOptions {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly authorities: AuthorityStore;
  readonly crls: CrlStore;
  readonly revocations: RevocationStore;
  readonly ocsp: OcspStore;
  readonly expiries: ExpiryStore;
  readonly search: CertificateSearchStore;
  readonly orders: OrderStore;
  readonly config: CaConfig;
  readonly observer?: CaObserver;
  /** Runs the jobs of which one replica at a time is enough; when absent, every process runs them, which does no harm. */
  readonly sharedJobs?: SharedJobs;
  /** The clock; the system's when absent. */
  readonly now?: () => Date;
}

/** What a certificate authority is made of. */
export interface AuthorityParts {
  readonly context: HierarchyContext;
  readonly issuers: Issuers;
  readonly policy: IssuancePolicy;
  readonly requests: Requests;
  readonly status: CertificateStatus;
  readonly seals: DecisionSeals;
  readonly recovery: Recovery;
  /** What every process does for itself, and what one of them is enough for. */
  readonly jobs: readonly JobRunner[];
}

/**
 * Loads the issuing CA (and makes it first, if the configuration says so) and puts together what works with it; nothing of it works yet.
 * @throws {CaError} ERR_CA_CONFIG_INVALID | ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE | ERR_CA_ISSUER_UNNAMED | ERR_CA_STORE_UNAVAILABLE
 * @throws {HsmError} when the token is not usable
 */
export async function assemble(options: CertificateAuthorityOptions): Promise<AuthorityParts> {
  const config = parseCaConfig(options.config);
  const { token, certificates, authorities, observer = {}, now = () => new Date() } = options;
  const seals = await certificates.exclusively(() => DecisionSeals.open(token, config.sealKeyLabel));
  const { ticketSeconds } = config;
  const issuance = new Issuance({ token, certificates, seals, observer, now, ticketSeconds });
  const context: HierarchyContext = { config, token, certificates, authorities, issuance, observer, now };
  if (config.authority.initialize) await initializeHierarchy(context);
  const issuers = await Issuers.load(context);
  const superiors = await loadSuperiors(context);
  const { crls, revocations, ocsp, search, expiries, orders, sharedJobs } = options;
  const outOfService = {
    ...context,
    crls,
    generations: () => issuers.generations,
    superiors: new Set(superiors.map(({ id }) => id)),
  };
  await assertIssuersNamed(outOfService);
  const profiles = loadProfiles(config);
  const names = new AuthorityNames(() => issuers.generations);
  const policy = new IssuancePolicy(profiles, NamePolicy.of(config), names, ({ id }) => issuerLocations(config, id));
  issuers.assertProfiles(profiles);
  const status = new CertificateStatus({
    ...context,
    crls,
    revocations,
    ocsp,
    profiles,
    superiors,
    issuers: () => issuers.generations.map(({ issuer }) => issuer),
    absent: () => absentCas(outOfService),
  });
  const recovery = new Recovery({ ...context, seals, orders, policy, status, issuers, superiors });
  return {
    context,
    issuers,
    policy,
    status,
    seals,
    recovery,
    requests: new Requests({ ...context, policy, issuers, search, limits: config.orders }),
    jobs: authorityJobs({ ...context, issuers, status, recovery, expiries, sharedJobs }),
  };
}
