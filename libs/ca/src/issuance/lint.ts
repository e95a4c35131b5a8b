import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { CaError } from '../errors.js';

/** One thing that must hold of the octets about to be signed. */
export interface Rule<Subject> {
  /** The specification and section that wants it. */
  readonly source: string;
  readonly requires: string;
  readonly holds: (subject: Subject) => boolean;
}

/** A line of such a table. */
export function rule<Subject>(source: string, requires: string, holds: (subject: Subject) => boolean): Rule<Subject> {
  return { source, requires, holds };
}

/**
 * Checks octets against a table before they are signed. They are decoded anew, so a fault of the encoder shows here.
 * @param view  splits the decoded octets into what the rules look at
 * @throws {CaError} ERR_CA_LINT_FAILED listing every rule that does not hold
 */
export function lint<Subject>(
  what: string,
  tbs: Buffer,
  view: (tbs: DerNode) => Subject,
  rules: readonly Rule<Subject>[],
): void {
  refuse(what, faultsOf(tbs, view, rules));
}

/**
 * The same for octets too long to be decoded into a tree: the caller decodes them.
 * @throws {CaError} ERR_CA_LINT_FAILED
 */
export async function lintDecoded<Subject>(
  what: string,
  decode: () => Promise<Subject>,
  rules: readonly Rule<Subject>[],
): Promise<void> {
  refuse(what, await decode().then((subject) => brokenRules(subject, rules), undecodable));
}

function refuse(what: string, broken: readonly string[]): void {
  if (broken.length > 0)
    throw new CaError('ERR_CA_LINT_FAILED', `${what}:\n${broken.map((fault) => `- ${fault}`).join('\n')}`);
}

function faultsOf<Subject>(tbs: Buffer, view: (tbs: DerNode) => Subject, rules: readonly Rule<Subject>[]): string[] {
  let node: DerNode;
  let subject: Subject;
  try {
    node = parseDer(tbs);
    subject = view(node);
  } catch (error) {
    return undecodable(error);
  }
  const broken = brokenRules(subject, rules);
  return hasSortedSets(node) ? broken : ['X.690 §11.6: the elements of a SET OF are in ascending order', ...broken];
}

function undecodable(error: unknown): string[] {
  if (error instanceof DerError || error instanceof TypeError)
    return [`X.690: the octets are canonical DER of the type (${error.message})`];
  throw error;
}

function brokenRules<Subject>(subject: Subject, rules: readonly Rule<Subject>[]): string[] {
  return rules.filter((rule) => !holds(rule, subject)).map(({ source, requires }) => `${source}: ${requires}`);
}

/** A rule that stumbles over a form it does not expect does not hold. */
function holds<Subject>(rule: Rule<Subject>, subject: Subject): boolean {
  try {
    return rule.holds(subject);
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

function hasSortedSets({ tag, children }: DerNode): boolean {
  const sorted =
    tag !== tags.set ||
    children.every((child, index) => index === 0 || Buffer.compare(children[index - 1].raw, child.raw) <= 0);
  return sorted && children.every(hasSortedSets);
}
