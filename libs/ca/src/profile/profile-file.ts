import { ConfigurationFaults, ConfigurationFile } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import { isOnPublicHost } from '../name/reserved-names.js';
import type { Profile } from './profile.js';
import { publicKindOf } from './public-style.js';
import type { ProfilesInput } from './profile-schema.js';
import { resolveProfiles, soundProfilesSchema } from './profiles.js';

interface LocationConfig {
  readonly publicUrl?: string;
  /** Absent: the CA answers no OCSP. */
  readonly ocsp?: object;
  readonly crl?: { readonly validityHours: number };
}

/**
 * The profiles of a configuration, from wherever they are written.
 * @throws {CaError} ERR_CA_CONFIG_INVALID listing all faults together
 */
export function loadProfiles(
  config: {
    readonly profiles?: ProfilesInput;
    readonly profileFile?: string;
  } & LocationConfig,
): ReadonlyMap<string, Profile> {
  const { profiles, profileFile } = config;
  if (profiles !== undefined && profileFile !== undefined)
    throw new CaError('ERR_CA_CONFIG_INVALID', 'CA configuration: want profiles or profileFile, got both');
  const resolved = profileFile === undefined ? resolveProfiles(profiles) : readProfileFile(profileFile);
  const faults = [...resolved.values()].flatMap((profile) => locationFaults(profile, config));
  if (faults.length > 0) throw new CaError('ERR_CA_CONFIG_INVALID', `profiles:\n${faults.join('\n')}`);
  return resolved;
}

/** What a profile wants relying parties to be told, and nothing of the configuration tells them. */
function locationFaults(profile: Profile, { publicUrl, ocsp, crl }: LocationConfig): string[] {
  const has = (own: readonly string[] | undefined, issuers: boolean): boolean => (own?.length ?? Number(issuers)) > 0;
  const hasUrl = publicUrl !== undefined;
  const answersOcsp = has(profile.ocsp, hasUrl && ocsp !== undefined);
  const faults: string[] = [];
  if (profile.mustStaple && !answersOcsp)
    faults.push(
      `- ${profile.name}.mustStaple: want an OCSP responder to staple from: ocsp of the profile or of the CA`,
    );
  const kind = profile.publicStyle ? publicKindOf(profile.extendedKeyUsage) : undefined;
  if (kind === undefined) return faults;
  const namesCrl = !profile.noRevocation && has(profile.crl, hasUrl);
  const isPublished = namesCrl || (!kind.namesCrl && answersOcsp);
  if (!has(profile.caIssuers, hasUrl) || !isPublished)
    faults.push(
      `- ${profile.name}.publicStyle: want places of issuer and status: publicUrl of the CA, or those of the profile`,
    );
  const places = [profile.crl, profile.caIssuers, ocsp === undefined ? (profile.ocsp ?? []) : profile.ocsp]
    .flatMap((own) => own ?? publicUrl ?? [])
    .filter((place) => !isOnPublicHost(place));
  if (places.length > 0)
    faults.push(`- ${profile.name}.publicStyle: want places on hosts of the public DNS, got ${places.join(', ')}`);
  if (crl !== undefined && crl.validityHours > 240)
    faults.push(
      `- ${profile.name}.publicStyle: want crl.validityHours of at most 240 (CABF BR §4.9.7), got ${crl.validityHours}`,
    );
  return faults;
}

/**
 * Reads profiles by name from a YAML file (docs/PROFILES.md).
 * @throws {CaError} ERR_CA_CONFIG_INVALID listing all faults together, each as `file:line:column: path: what it wants`
 */
export function readProfileFile(file: string): ReadonlyMap<string, Profile> {
  return resolvedIn(() => ConfigurationFile.read(file));
}

/** @param file  how the text is called in a fault. @throws as `readProfileFile` */
export function parseProfiles(text: string, file: string): ReadonlyMap<string, Profile> {
  return resolvedIn(() => ConfigurationFile.parse(text, file));
}

function resolvedIn(open: () => ConfigurationFile): ReadonlyMap<string, Profile> {
  try {
    return resolveProfiles(open().check(soundProfilesSchema));
  } catch (cause) {
    if (!(cause instanceof ConfigurationFaults)) throw cause;
    throw new CaError('ERR_CA_CONFIG_INVALID', `profiles:\n${cause.message}`, { cause });
  }
}
