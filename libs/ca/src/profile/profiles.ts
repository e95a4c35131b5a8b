import { CaError } from '../errors.js';
import type { NameKind } from '../name/general-name.js';
import { builtInProfiles, defaultProfiles } from './built-in-profiles.js';
import { type NameTemplate, type Profile, type ProfileContent, profileDefaults, sealProfile } from './profile.js';
import { faultsOf } from './profile-rules.js';
import { type ProfileInput, profilesSchema, type ProfilesInput } from './profile-schema.js';
import { purposeOid } from './purpose.js';

/** What is wrong with a profile, and where it is written. */
export interface ProfileFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/**
 * The profiles a CA offers: those that are written, and none besides; `tls-server` and `tls-client` when none are.
 * @throws {CaError} ERR_CA_CONFIG_INVALID listing all faults together
 */
export function resolveProfiles(written: ProfilesInput = defaultProfiles): ReadonlyMap<string, Profile> {
  const { profiles, faults } = tryProfiles(written);
  if (faults.length === 0) return profiles;
  const lines = faults.map(({ path, message }) => `- ${path.join('.')}: ${message}`);
  throw new CaError('ERR_CA_CONFIG_INVALID', `profiles:\n${lines.join('\n')}`);
}

/** Profiles as they are written, held against the rules too: a malformed one keeps no other from being looked at. */
export const soundProfilesSchema = profilesSchema.superRefine(
  (written, context) => {
    const malformed = new Set(context.issues.map(({ path: [name] = [] }) => String(name)));
    for (const { path, message } of tryProfiles(written, malformed).faults)
      context.addIssue({ code: 'custom', path: [...path], message });
  },
  { when: ({ issues }) => issues.every(({ path = [] }) => path.length > 0) },
);

/** The same as `resolveProfiles`, with the faults instead of an error. @param malformed  profiles of which no more is said */
function tryProfiles(
  written: ProfilesInput,
  malformed: ReadonlySet<string> = new Set(),
): { readonly profiles: ReadonlyMap<string, Profile>; readonly faults: readonly ProfileFault[] } {
  const faults: ProfileFault[] = [];
  const profiles = new Map<string, Profile>();
  if (Object.keys(written).length === 0) faults.push({ path: [], message: 'want at least one profile' });
  for (const name of Object.keys(written)) {
    const input = malformed.has(name) ? undefined : inherited(name, written, malformed);
    if (input === undefined) continue;
    if (typeof input === 'string') {
      faults.push({ path: [name, 'extends'], message: input });
      continue;
    }
    if (hasTwoValidities(written[name]))
      faults.push({ path: [name, 'validityHours'], message: 'want validityDays or validityHours, got both' });
    const content = complete(name, input);
    const found = faultsOf(content);
    faults.push(...found.map(({ field, message }) => ({ path: [name, field], message })));
    if (found.length === 0) profiles.set(name, sealProfile(content));
  }
  return { profiles, faults };
}

function hasTwoValidities({ validityDays, validityHours }: ProfileInput): boolean {
  return validityDays !== undefined && validityHours !== undefined;
}

/**
 * A profile with what it inherits: a field that it has replaces the whole field.
 * @returns what is wrong, in words, if it cannot be had; undefined if one that it extends cannot, of which it is said
 */
function inherited(
  name: string,
  written: ProfilesInput,
  malformed: ReadonlySet<string>,
  heirs: readonly string[] = [],
): ProfileInput | string | undefined {
  if (malformed.has(name)) return undefined;
  if (heirs.includes(name)) return name === heirs[0] ? `want no circle, got ${[...heirs, name].join(' extends ')}` : undefined; // prettier-ignore
  const own = Object.hasOwn(written, name) ? written[name] : undefined;
  const builtIn = Object.hasOwn(builtInProfiles, name) ? builtInProfiles[name] : undefined;
  if (own === undefined && builtIn === undefined) {
    const choice = Object.keys(builtInProfiles).join(', ');
    return heirs.length === 1 ? `want a profile that is written or built in (${choice}), got ${name}` : undefined;
  }
  if (own === undefined) return builtIn;
  const { extends: base, ...fields } = own;
  const from =
    base === undefined || base === name ? (builtIn ?? {}) : inherited(base, written, malformed, [...heirs, name]);
  if (typeof from !== 'object') return from;
  // One of the two says how long, whichever is nearer.
  const { validityDays, validityHours, ...rest } = from;
  const validity =
    fields.validityDays === undefined && fields.validityHours === undefined ? { validityDays, validityHours } : {};
  return { ...rest, ...validity, ...fields };
}

function complete(name: string, input: ProfileInput): ProfileContent {
  const { validityDays, validityHours, subjectAltName, extendedKeyUsage, extends: _, ...rest } = input;
  const hours = validityHours ?? (validityDays ?? 90) * 24;
  return {
    ...profileDefaults,
    ...rest,
    name,
    validitySeconds: hours * 3600,
    allowedNames: subjectAltName?.allowed ?? [],
    requiredNames: subjectAltName?.required ?? [],
    addedNames: (subjectAltName?.add ?? []).map(nameTemplate),
    extendedKeyUsage: (extendedKeyUsage ?? []).map(purposeOid),
  };
}

function nameTemplate(text: string): NameTemplate {
  const colon = text.indexOf(':');
  return { type: text.slice(0, colon) as NameKind, value: text.slice(colon + 1) };
}
