import { readFileSync } from 'node:fs';
import { type Document, isMap, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';
import { CaError } from '../errors.js';
import type { Profile } from './profile.js';
import { profilesSchema, type ProfilesInput } from './profile-schema.js';
import { resolveProfiles, tryProfiles } from './profiles.js';

/** A profile file needs none; each alias would multiply what a few lines make. */
const maximumAliases = 100;
const maximumBytes = 1024 * 1024;

interface LocationConfig {
  readonly publicUrl?: string;
  /** Absent: the CA answers no OCSP. */
  readonly ocsp?: object;
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
function locationFaults(profile: Profile, { publicUrl, ocsp }: LocationConfig): string[] {
  const has = (own: readonly string[] | undefined, issuers: boolean): boolean => (own?.length ?? Number(issuers)) > 0;
  const hasUrl = publicUrl !== undefined;
  const answersOcsp = has(profile.ocsp, hasUrl && ocsp !== undefined);
  const faults: string[] = [];
  if (profile.mustStaple && !answersOcsp)
    faults.push(
      `- ${profile.name}.mustStaple: want an OCSP responder to staple from: ocsp of the profile or of the CA`,
    );
  const isPublished = answersOcsp || (!profile.noRevocation && has(profile.crl, hasUrl));
  const hasAccess = answersOcsp || has(profile.caIssuers, hasUrl);
  const isShortLived = profile.validitySeconds <= 7 * 86_400;
  if (profile.publicStyle && (!hasAccess || !(isPublished || isShortLived)))
    faults.push(
      `- ${profile.name}.publicStyle: want places of issuer and status: publicUrl of the CA, or those of the profile`,
    );
  return faults;
}

/**
 * Reads profiles by name from a YAML file (docs/PROFILES.md).
 * @throws {CaError} ERR_CA_CONFIG_INVALID listing all faults together, each as `file:line:column: path: what it wants`
 */
export function readProfileFile(file: string): ReadonlyMap<string, Profile> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CaError('ERR_CA_CONFIG_INVALID', `${file}: want a readable file, got ${(error as Error).message}`, {
      cause: error,
    });
  }
  return parseProfiles(text, file);
}

/** @param file  how the text is called in a fault. @throws as `readProfileFile` */
export function parseProfiles(text: string, file: string): ReadonlyMap<string, Profile> {
  const lines = new LineCounter();
  const refuse = (faults: readonly { readonly offset: number; readonly message: string }[]): never => {
    const listed = [...faults]
      .sort((left, right) => left.offset - right.offset)
      .map(({ offset, message }) => {
        const { line, col } = lines.linePos(offset);
        return `${file}:${line}:${col}: ${message}`;
      });
    throw new CaError('ERR_CA_CONFIG_INVALID', `profiles:\n${listed.join('\n')}`);
  };

  if (text.length > maximumBytes) refuse([{ offset: 0, message: `want at most ${maximumBytes} characters` }]);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) refuse(document.errors.map(({ pos, message }) => ({ offset: pos[0], message })));
  const at = (path: readonly PropertyKey[], message: string) => ({
    offset: offsetOf(document, path),
    message: `${path.map(String).join('.')}: ${message}`,
  });

  const parsed = profilesSchema.safeParse(toPlain(document, file));
  if (!parsed.success)
    return refuse(parsed.error.issues.flatMap(nearest).map(({ path, message }) => at(path, message)));
  const { profiles, faults } = tryProfiles(parsed.data);
  if (faults.length > 0) refuse(faults.map(({ path, message }) => at(path, message)));
  return profiles;
}

function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: maximumAliases });
  } catch (error) {
    throw new CaError('ERR_CA_CONFIG_INVALID', `${file}: want fewer aliases, got ${(error as Error).message}`);
  }
}

/** Of a choice between forms, what is wrong with the nearest one; an unknown field is named where it stands. */
function nearest(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string }[] {
  const path = [...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: 'want a field that profiles have' }));
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => ({ path, message }));
  if (issue.code !== 'invalid_union') return [{ path, message: issue.message }];
  const forms = issue.errors.map((issues) => issues.flatMap(nearest));
  const deepest = forms.reduce((best, form) => (depth(form) > depth(best) ? form : best));
  if (depth(deepest) > 0) return deepest.map((fault) => ({ path: [...path, ...fault.path], message: fault.message }));
  return [{ path, message: [...new Set(forms.flat().map(({ message }) => message))].join(', or ') }];
}

function depth(faults: readonly { readonly path: PropertyKey[] }[]): number {
  return Math.max(0, ...faults.map(({ path }) => path.length));
}

/** Where a path is written; of a field that is not there, where what should have it is. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let offset = 0;
  let node: unknown = document.contents;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(key) === String(step));
      if (pair === undefined) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else {
      const items = (node as { items?: Node[] } | null)?.items;
      node = items?.[Number(step)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    }
  }
  return offset;
}
