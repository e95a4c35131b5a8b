import { CaError } from '../errors.js';
import { type AttributeName, attributeNames, type SubjectAttributes } from '../name/distinguished-name.js';
import type { GeneralName, NameKind } from '../name/general-name.js';
import { isPrivileged, type Profile } from '../profile/profile.js';
import { nameMatcher, type NameMatcher, type NameRule } from './name-rule.js';

/** What a requester asks to be certified, beyond what the profile itself says. */
export interface AskedNames {
  readonly names: readonly GeneralName[];
  readonly subject: SubjectAttributes;
}

/**
 * Who may have which names under which profiles. How a certificate is made is none of its business, and how a request came in
 * neither: every edge brings the identity it has authenticated.
 */
export interface NameAuthorisation {
  /**
   * @param requester  the authenticated identity, as the edge writes it
   * @throws {CaError} ERR_CA_NAME_NOT_ALLOWED naming each refused name
   */
  authorise(requester: string, profile: Profile, asked: AskedNames): void;
}

interface Entry {
  readonly appliesTo: (requester: string, profile: Profile) => boolean;
  readonly matchers: Readonly<Record<NameKind, readonly NameMatcher[]>>;
  readonly subject: Readonly<Partial<Record<AttributeName, readonly NameMatcher[]>>>;
}

/** The rules of a configuration, parsed once. What no rule allows is refused. */
export class NamePolicy implements NameAuthorisation {
  readonly #entries: readonly Entry[];

  /** The rules of a configuration: those for everybody, then those for some. */
  static of(config: { readonly allowedNames?: NameRule; readonly nameRules?: readonly NameRule[] }): NamePolicy {
    const { allowedNames, nameRules = [] } = config;
    return new NamePolicy(allowedNames === undefined ? nameRules : [allowedNames, ...nameRules]);
  }

  /** @throws {CaError} ERR_CA_NAME_INVALID naming the entry */
  constructor(rules: readonly NameRule[]) {
    this.#entries = rules.map(compile);
  }

  authorise(requester: string, profile: Profile, { names, subject }: AskedNames): void {
    const entries = this.#entries.filter(({ appliesTo }) => appliesTo(requester, profile));
    if (entries.length === 0)
      throw new CaError(
        'ERR_CA_NAME_NOT_ALLOWED',
        `names: want a rule that lets ${requester} use profile ${profile.name}, got none`,
      );
    const isAllowed = ({ type, value }: GeneralName): boolean =>
      entries.some(({ matchers }) => matchers[type].some((matches) => matches(value)));
    const refused = names.filter((name) => !isAllowed(name)).map(({ value }) => value);
    for (const attribute of attributeNames) {
      const value = subject[attribute];
      if (value !== undefined && !entries.some((entry) => entry.subject[attribute]?.some((matches) => matches(value))))
        refused.push(`${attribute} ${JSON.stringify(value)}`);
    }
    if (refused.length > 0)
      throw new CaError('ERR_CA_NAME_NOT_ALLOWED', `names: want names that are allowed, got ${refused.join(', ')}`);
  }
}

function compile({ requesters, profiles, dns, ip, email, uri, subject = {} }: NameRule): Entry {
  const isRequester = requesters?.map(requesterMatcher);
  const all = (kind: NameKind, patterns: readonly string[] = []): NameMatcher[] =>
    patterns.map((pattern) => nameMatcher(kind, pattern));
  const attributes = Object.entries(subject) as [AttributeName, readonly string[]][];
  return {
    appliesTo: (requester, profile) =>
      (isRequester?.some((matches) => matches(requester)) ?? true) &&
      (profiles?.includes(profile.name) ?? !isPrivileged(profile)),
    matchers: { dns: all('dns', dns), ip: all('ip', ip), email: all('email', email), uri: all('uri', uri) },
    subject: Object.fromEntries(attributes.map(([name, patterns]) => [name, patterns.map(textMatcher)])),
  };
}

/** One identity, or those that start alike: `token:build-*`. */
function requesterMatcher(pattern: string): NameMatcher {
  if (!pattern.endsWith('*')) return (requester) => requester === pattern;
  return (requester) => requester.startsWith(pattern.slice(0, -1));
}

/** A text where `*` stands for any characters. */
function textMatcher(pattern: string): NameMatcher {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return (text) => text === pattern;
  const last = rest[rest.length - 1];
  return (text) => {
    if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
    let at = first.length;
    for (const part of rest.slice(0, -1)) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - last.length;
  };
}
