import { isIP } from 'node:net';
import { CaError } from '../errors.js';
import {
  type AttributeName,
  attributeNames,
  attributeValueSchemas,
  nameAttributes,
  type SubjectAttributes,
} from '../name/distinguished-name.js';
import { type GeneralName, generalName, isSameName, withoutDuplicates } from '../name/general-name.js';
import { placeholder } from './profile-rules.js';
import type { Profile } from './profile.js';
import { assertPublicNames } from './public-names.js';

/** Most names one certificate may carry. */
export const maximumNames = 100;

/** Who a certificate is for. */
export interface CertifiedNames {
  readonly subject: SubjectAttributes;
  /** What SubjectAltName says. */
  readonly names: readonly GeneralName[];
}

/** What a request says of its subject. */
export interface RequestedNames {
  readonly names: readonly GeneralName[];
  /** @throws {CaError} when the attribute cannot be read */
  readonly attribute: (name: AttributeName) => string | undefined;
}

/**
 * Chooses subject and names by the profile: what it takes from the request, what it adds itself. Every other attribute of the
 * requested subject is left out, since nobody vouches for it.
 * @throws {CaError} ERR_CA_NAME_INVALID | ERR_CA_NAME_MISSING | ERR_CA_NAME_NOT_ALLOWED | ERR_CA_CSR_*
 */
export function certifiedNames(profile: Profile, requested: RequestedNames): CertifiedNames {
  const subject: Partial<Record<AttributeName, string>> = {};
  const named: GeneralName[] = [];
  for (const attribute of attributeNames) {
    const rule = profile.subject[attribute];
    if (rule === undefined) continue;
    const text = typeof rule === 'object' ? rule.value : requested.attribute(attribute);
    if (text === undefined) {
      if (rule === 'required') missing(profile, `${attribute} in the subject`);
      continue;
    }
    if (rule === 'name' || attribute === 'emailAddress') {
      const name = attribute === 'emailAddress' ? generalName('email', text) : nameOf(profile, text);
      named.push(name);
      // A commonName that is too long for one is in SubjectAltName alone (RFC 9525 §2: only that counts).
      if (name.value.length <= nameAttributes[attribute].maximum) subject[attribute] = name.value;
    } else subject[attribute] = sound(attribute, text);
  }
  const names = withoutDuplicates([...named, ...requested.names, ...addedNames(profile, subject)]);
  const certified = { subject, names };
  assertNamesFit(profile, certified);
  return certified;
}

/**
 * Of what is certified, that which the profile does not say by itself: who may have it is for a policy to say.
 * @throws {CaError} ERR_CA_NAME_MISSING | ERR_CA_NAME_NOT_ALLOWED | ERR_CA_NAME_INVALID when it is not what the profile is for
 */
export function askedNames(profile: Profile, certified: CertifiedNames): CertifiedNames {
  assertNamesFit(profile, certified);
  const added = addedNames(profile, certified.subject);
  const asked: Partial<Record<AttributeName, string>> = {};
  for (const attribute of attributeNames) {
    const value = certified.subject[attribute];
    const rule = profile.subject[attribute];
    if (value === undefined || rule === 'name' || attribute === 'emailAddress') continue;
    if (typeof rule !== 'object') asked[attribute] = value;
  }
  const fixed = fixedNames(profile);
  const isOwn = (name: GeneralName): boolean => [...added, ...fixed].some((other) => isSameName(name, other));
  return { subject: asked, names: certified.names.filter((name) => !isOwn(name)) };
}

/** @throws {CaError} ERR_CA_NAME_MISSING | ERR_CA_NAME_NOT_ALLOWED | ERR_CA_NAME_INVALID */
function assertNamesFit(profile: Profile, { subject, names }: CertifiedNames): void {
  for (const attribute of attributeNames) assertAttributeFits(profile, attribute, { subject, names });
  const added = addedNames(profile, subject);
  const isAdded = (name: GeneralName): boolean => added.some((other) => isSameName(name, other));
  const refused = names.filter((name) => !profile.allowedNames.includes(name.type) && !isAdded(name));
  if (refused.length > 0)
    throw new CaError(
      'ERR_CA_NAME_NOT_ALLOWED',
      `names: want ${profile.allowedNames.join(', ') || 'none'} for profile ${profile.name}, got ${refused.map(({ type, value }) => `${type} ${value}`).join(', ')}`,
    );
  for (const kind of profile.requiredNames) {
    const isThere = kind === 'any' ? names.length > 0 : names.some(({ type }) => type === kind);
    if (!isThere)
      missing(profile, kind === 'any' ? 'a name in SubjectAltName or commonName' : `${kind} in SubjectAltName`);
  }
  if (names.length > maximumNames)
    throw new CaError(
      'ERR_CA_CSR_CONTENT_REFUSED',
      `SubjectAltName: want at most ${maximumNames} names, got ${names.length}`,
    );
  if (names.length === 0 && Object.keys(subject).length === 0) missing(profile, 'a name');
  const uris = names.filter(({ type }) => type === 'uri');
  // X.509-SVID §2: exactly one URI, or the identity is ambiguous.
  if (uris.length > 1 && uris.some(({ value }) => value.startsWith('spiffe:')))
    throw new CaError('ERR_CA_NAME_INVALID', `names: want a SPIFFE ID as the only URI, got ${uris.length} URIs`);
  if (profile.publicStyle) assertPublicNames(profile.name, subject, names);
}

function assertAttributeFits(profile: Profile, attribute: AttributeName, { subject, names }: CertifiedNames): void {
  const rule = profile.subject[attribute];
  const value = subject[attribute];
  if (value === undefined) {
    if (rule === 'required' || (typeof rule === 'object' && attribute !== 'emailAddress')) missing(profile, attribute);
    return;
  }
  const isListed = names.some((name) => name.value === value);
  const isFitting =
    rule === 'name' || attribute === 'emailAddress'
      ? isListed
      : typeof rule === 'object'
        ? value === rule.value
        : rule !== undefined;
  if (rule === undefined || !isFitting)
    throw new CaError(
      'ERR_CA_NAME_NOT_ALLOWED',
      `subject: want what profile ${profile.name} says of ${attribute}, got another`,
    );
}

/** The fixed e-mail address of a subject is a name as well. */
function fixedNames({ subject }: Profile): GeneralName[] {
  return typeof subject.emailAddress === 'object' ? [generalName('email', subject.emailAddress.value)] : [];
}

function addedNames({ addedNames: templates }: Profile, subject: SubjectAttributes): GeneralName[] {
  return templates.map(({ type, value }) => {
    const fill = (_: string, attribute: AttributeName): string => plainPart(attribute, subject[attribute]);
    return generalName(type, value.replaceAll(placeholder, fill));
  });
}

/**
 * What a requester chose stands for one label or one segment of an added name, and for no more: neither a wildcard nor a dot nor a
 * slash gets in with it.
 */
function plainPart(attribute: AttributeName, part = ''): string {
  if (/^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/.test(part)) return part;
  throw new CaError(
    'ERR_CA_NAME_INVALID',
    `subject ${attribute}: want letters, digits and inner hyphens, since it is part of a name, got ${JSON.stringify(part)}`,
  );
}

/** A commonName is one more name, under the same policy as the others. */
function nameOf({ allowedNames }: Profile, text: string): GeneralName {
  if (isIP(text) !== 0) return generalName('ip', text);
  return generalName(text.includes('@') && allowedNames.includes('email') ? 'email' : 'dns', text);
}

function sound(attribute: AttributeName, text: string): string {
  const parsed = attributeValueSchemas[attribute].safeParse(text);
  if (parsed.success) return parsed.data;
  const wants = parsed.error.issues.map(({ message }) => message).join('; ');
  throw new CaError('ERR_CA_NAME_INVALID', `subject ${attribute}: ${wants}, got ${JSON.stringify(text.slice(0, 256))}`);
}

function missing({ name }: Profile, what: string): never {
  throw new CaError('ERR_CA_NAME_MISSING', `CSR: want ${what} for profile ${name}, got none`);
}
