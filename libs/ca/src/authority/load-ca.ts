import type { ParsedCaConfig } from '../config.js';
import { der } from '../der/der-writer.js';
import { CaError } from '../errors.js';
import type { CaCertificate } from '../issuance/ca-certificate.js';
import { type Issuer, issuer, type IssuerToken } from '../issuance/issuer.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { NameConstraints } from '../profile/name-constraints.js';
import { findCaKey, caKeyId } from './ca-key.js';
import { type Chain, chainsOf, type ChainSource, sha256 } from './chains.js';
import type { ConfiguredCa } from './configured-ca.js';

export interface CaSource extends ChainSource {
  readonly config: ParsedCaConfig;
  readonly token: IssuerToken;
}

/** One of our CAs with its key, and every other chain of that key (cross-signing). */
export interface LoadedCa {
  readonly issuer: Issuer;
  readonly alternativeChains: readonly Chain[];
}

/**
 * A CA as it was initialised. The keys above it need not be on the token any more.
 * @param isNewest  an earlier generation was made by an earlier configuration: only its name and its root are held against this one
 * @throws {CaError} ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE
 */
export async function loadCa(source: CaSource, ca: ConfiguredCa, isNewest = true): Promise<LoadedCa> {
  const key = await findCaKey(source.token, isNewest ? ca : { label: ca.label });
  if (key === undefined) return notInitialized(ca, `a key ${ca.label} on the token`);
  const [chain, ...alternativeChains] = await trustedChains(source, ca, caKeyId(key));
  if (isNewest) assertConstraints(chain[0], ca);
  return { issuer: issuer(key, chain), alternativeChains };
}

/**
 * Chains of a CA's key, the first one up to the configured root.
 * @throws {CaError} ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE
 */
export async function trustedChains(source: CaSource, ca: ConfiguredCa, keyId: string): Promise<[Chain, ...Chain[]]> {
  const chains = await chainsOf(source, keyId);
  if (chains.length === 0) return notInitialized(ca, `a certificate of key ${ca.label}`);
  const isTrusted = await rootTrust(source);
  const trusted = chains.filter(isTrusted);
  if (trusted.length === 0)
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `chain of issuer key ${ca.label}: want one up to the configured root, got ${chains.map((chain) => sha256(rootOf(chain).der)).join(', ')}`,
    );
  const [chain] = trusted;
  if (!chain[0].subject.equals(encodeDistinguishedName(ca.subject))) differs(ca, 'subject');
  return [chain, ...chains.filter((other) => other !== chain)];
}

/**
 * Which chains end in the configured root: the pinned certificate; without a pin, one of the configured name and constraints and, if the
 * root's key is on the token, of that key.
 */
async function rootTrust({ config, token }: CaSource): Promise<(chain: Chain) => boolean> {
  const { root } = config.authority;
  if (root.sha256 !== undefined) return (chain) => sha256(rootOf(chain).der) === root.sha256;
  if (root.external) return () => false;
  const key = await findCaKey(token, root);
  const name = encodeDistinguishedName(root.subject);
  return (chain) => {
    const { subject, publicKey } = rootOf(chain);
    return subject.equals(name) && key?.publicKey?.equals(publicKey) !== false;
  };
}

function rootOf(chain: Chain): CaCertificate {
  return chain[chain.length - 1];
}

/**
 * An operator who writes name constraints or purposes must not believe in some that the certificate does not have. Purposes that only the
 * CA above has written are kept as well.
 */
export function assertConstraints(certificate: CaCertificate, ca: ConfiguredCa): void {
  const wanted = ca.nameConstraints && NameConstraints.of(ca.nameConstraints);
  if (!sameConstraints(wanted, certificate.nameConstraints)) differs(ca, 'name constraints');
  const { extendedKeyUsage: purposes = certificate.purposes } = ca;
  if (purposes?.toSorted().join() !== certificate.purposes?.toSorted().join()) differs(ca, 'extended key usage');
}

/** The configuration may not quietly disagree with what was certified. */
function differs({ label }: ConfiguredCa, what: string): never {
  throw new CaError(
    'ERR_CA_ISSUER_UNUSABLE',
    `CA certificate of key ${label}: want the configured ${what}, got others in the database`,
  );
}

function sameConstraints(left: NameConstraints | undefined, right: NameConstraints | undefined): boolean {
  const octets = (constraints: NameConstraints): Buffer => der((writer) => constraints.write(writer));
  return left === undefined || right === undefined ? left === right : octets(left).equals(octets(right));
}

function notInitialized({ name }: ConfiguredCa, what: string): never {
  throw new CaError(
    'ERR_CA_NOT_INITIALIZED',
    `${name} CA: want ${what}, got none; run nest-hsm ca init, or set authority.initialize`,
  );
}
