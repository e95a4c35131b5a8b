import { CaError } from '../errors.js';
import type { CaKeyAlgorithm } from '../issuance/signature-algorithm.js';
import type { DistinguishedName } from '../name/distinguished-name.js';
import type { ConfiguredNameConstraints } from '../profile/name-constraints.js';
import type { AuthorityConfig } from './authority-config.js';

/** One CA of the configuration whose key is on our token. */
export interface ConfiguredCa {
  /** `root`, `issuing`, or the name it has in the configuration. */
  readonly name: string;
  readonly kind: 'root' | 'intermediate' | 'issuing';
  /** Of its first generation's key. */
  readonly label: string;
  readonly subject: DistinguishedName;
  readonly algorithm: CaKeyAlgorithm;
  readonly validityDays: number;
  /** Who certifies it; absent for a root. */
  readonly parent?: string;
  /** How many CAs may follow below it; absent: any number. */
  readonly pathLength?: number;
  readonly nameConstraints?: ConfiguredNameConstraints;
  /** OIDs of what certificates below it are for; absent: anything. */
  readonly extendedKeyUsage?: readonly string[];
  /** Profiles it alone issues. */
  readonly profiles?: readonly string[];
}

/** Every CA of our own, each one after the one that certifies it. */
export function configuredCas({ root, intermediates, issuing, issuers }: AuthorityConfig): ConfiguredCa[] {
  const depth = (name: string): number =>
    Object.hasOwn(intermediates, name) ? 1 + depth(intermediates[name].parent) : 0;
  const leaves = Object.entries({ issuing, ...issuers });
  /** Whoever is directly below needs as many as it allows, and is one itself. */
  const pathLengthAbove = (name: string): number =>
    Math.max(
      1,
      ...leaves.map(([, ca]) => (ca.parent === name ? 1 + ca.pathLength : 0)),
      ...Object.entries(intermediates).map(([below, ca]) => (ca.parent === name ? 1 + pathLengthAbove(below) : 0)),
    );
  const between = Object.entries(intermediates)
    .map(([name, ca]): ConfiguredCa => ({ ...ca, name, kind: 'intermediate', pathLength: pathLengthAbove(name) }))
    .sort((one, other) => depth(one.name) - depth(other.name));
  return [
    ...(root.external ? [] : [{ ...root, name: 'root', kind: 'root' } as const]),
    ...between,
    ...leaves.map(([name, ca]): ConfiguredCa => ({ ...ca, name, kind: 'issuing' })),
  ];
}

/** @throws {CaError} ERR_CA_CONFIG_INVALID when there is none of that name */
export function configuredCa(authority: AuthorityConfig, name: string): ConfiguredCa {
  const cas = configuredCas(authority);
  const found = cas.find((ca) => ca.name === name);
  if (found !== undefined) return found;
  throw new CaError(
    'ERR_CA_CONFIG_INVALID',
    `CA: want one of ${cas.map((ca) => ca.name).join(', ')}, got ${JSON.stringify(name.slice(0, 64))}`,
  );
}

/**
 * A CA as its nth generation: another key under another label, and another name, since relying parties look up issuers and
 * CRLs by name. Both follow from the configuration, so that nobody can choose them who can write to the database.
 */
export function ofGeneration(ca: ConfiguredCa, generation: number): ConfiguredCa {
  if (generation === 1) return ca;
  const commonName = `${ca.subject.commonName} G${generation}`;
  if (commonName.length > 64)
    throw new CaError(
      'ERR_CA_CONFIG_INVALID',
      `subject of ${ca.name}: want room for " G${generation}" in 64 characters`,
    );
  return { ...ca, label: `${ca.label}-${generation}`, subject: { ...ca.subject, commonName } };
}

/** Whether a key with that label is one of a CA's, of whichever generation. */
export function isCaKeyLabel(authority: AuthorityConfig, label: string): boolean {
  const first = label.replace(/-\d+$/, '');
  return configuredCas(authority).some((ca) => ca.label === label || (ca.kind === 'issuing' && ca.label === first));
}
