import type { HsmKey } from '@nest-hsm/hsm';
import { type CaConfig, parseCaConfig, type ParsedCaConfig } from '../config.js';
import { CaError, isCaError } from '../errors.js';
import type { CertificateOrder } from '../issuance/certificate-order.js';
import { Issuance } from '../issuance/issuance.js';
import { type Issuer, issuer, type IssuerToken } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import type { AuthorityStore } from '../store/authority-store.js';
import type { CertificateStore } from '../store/certificate-store.js';
import { caKeyId, findCaKey, findOrGenerateCaKey } from './ca-key.js';
import { ownOrder, rootOrder } from './ca-order.js';
import { type ConfiguredCa, configuredCa, configuredCas } from './configured-ca.js';
import { Issuers } from './issuers.js';
import { trustedChains } from './load-ca.js';

export interface HierarchyOptions {
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly authorities: AuthorityStore;
  readonly config: CaConfig;
  readonly observer?: CaObserver;
  /** The clock; the system's when absent. */
  readonly now?: () => Date;
}

export interface HierarchyContext {
  readonly config: ParsedCaConfig;
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly authorities: AuthorityStore;
  readonly issuance: Issuance;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

/** @throws {CaError} ERR_CA_CONFIG_INVALID */
export function hierarchyContext(options: HierarchyOptions): HierarchyContext {
  const { token, certificates, authorities, observer = {}, now = () => new Date() } = options;
  const config = parseCaConfig(options.config);
  const issuance = new Issuance({ token, certificates, observer, now, ticketSeconds: config.ticketSeconds });
  return { config, token, certificates, authorities, issuance, observer, now };
}

/**
 * Makes what is missing of each CA's key and certificate, from the root down. Made again or after a crash at any point, it
 * goes on with what is there; made by several processes at once, one does it and the others find it done.
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when what is there is not what the configuration says; ERR_CA_NOT_INITIALIZED when
 * a certificate is to come from an external root
 */
export async function initializeHierarchy(context: HierarchyContext): Promise<void> {
  if (await isInitialized(context)) return;
  await context.certificates.exclusively(async () => {
    for (const ca of configuredCas(context.config.authority)) await makeWhatIsMissing(context, ca);
  });
}

async function isInitialized(context: HierarchyContext): Promise<boolean> {
  try {
    await Issuers.load(context);
    return true;
  } catch (error) {
    if (isCaError(error, 'ERR_CA_NOT_INITIALIZED')) return false;
    throw error;
  }
}

async function makeWhatIsMissing(context: HierarchyContext, ca: ConfiguredCa): Promise<void> {
  if (ca.kind === 'root') await assertRootMayBeMade(context, ca);
  const key = await findOrGenerateCaKey(context.token, ca, context.observer);
  await certify(context, ca, key);
}

/** A root whose key was taken off the token for safe keeping is not replaced by another one. */
async function assertRootMayBeMade({ token, config, certificates }: HierarchyContext, ca: ConfiguredCa): Promise<void> {
  if ((await findCaKey(token, ca)) !== undefined) return;
  const { root, issuing } = config.authority;
  const issuingKey = await findCaKey(token, issuing);
  const isCertified = issuingKey && (await certificates.findAuthority(caKeyId(issuingKey))) !== undefined;
  if (isCertified === true || (!root.external && root.sha256 !== undefined))
    throw new CaError(
      'ERR_CA_NOT_INITIALIZED',
      `root: want its key ${ca.label} on the token to certify with, got none`,
    );
}

/** Sees to a certificate of a CA's key: an issued or imported one, else the one a crash left unfinished, else a new one. */
export async function certify(context: HierarchyContext, ca: ConfiguredCa, key: HsmKey): Promise<void> {
  const { certificates, authorities, issuance } = context;
  const id = caKeyId(key);
  if (ca.kind !== 'root' && (await authorities.listImported({ subjectKeyId: id })).length > 0) return;
  const row = await certificates.findAuthority(id);
  if (row?.state === 'issued') return;
  const order = await orderFor(context, ca, key);
  if (row?.state === 'reserved') await certificates.void(row.serial);
  if (row?.state === 'signing') await issuance.complete(row, order);
  else await issuance.redeem(await issuance.prepare(order));
}

async function orderFor(context: HierarchyContext, ca: ConfiguredCa, key: HsmKey): Promise<CertificateOrder> {
  const now = context.now();
  if (ca.parent === undefined) return rootOrder(ca, key, now);
  return ownOrder(ca, key, await parentOf(context, ca), { publicUrl: context.config.publicUrl, now });
}

/** The CA above one of ours, its key on the token. @throws {CaError} ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE */
async function parentOf(context: HierarchyContext, { name, parent = '' }: ConfiguredCa): Promise<Issuer> {
  const { config, token } = context;
  if (parent === 'root' && config.authority.root.external)
    throw new CaError(
      'ERR_CA_NOT_INITIALIZED',
      `${name} CA: want its certificate by the external root, got none; run nest-hsm ca csr, then nest-hsm ca import`,
    );
  const above = configuredCa(config.authority, parent);
  const key = await findCaKey(token, above);
  if (key === undefined)
    throw new CaError('ERR_CA_NOT_INITIALIZED', `${name} CA: want key ${above.label} on the token to certify it`);
  const [chain] = await trustedChains(context, above, caKeyId(key));
  return issuer(key, chain);
}
