import { parseDer } from '../der/der-reader.js';
import type { SubjectAttributes } from '../name/distinguished-name.js';
import { foldedName, foldedNameOf } from '../name/folded-name.js';
import type { Generation } from './issuers.js';

/**
 * The names of the CAs in service and of those above them. A name is one entity's (RFC 5280 §4.1.2.6): the CRLs of a CA with such a name
 * could be taken for ours (§6.3.3).
 */
export class AuthorityNames {
  #readFrom: readonly Generation[] | undefined;
  #names: ReadonlySet<string> = new Set();

  constructor(private readonly generations: () => readonly Generation[]) {}

  /** Whether a subject is the name of one. */
  include(subject: SubjectAttributes): boolean {
    const generations = this.generations();
    if (this.#readFrom !== generations) {
      const chains = generations.flatMap(({ issuer, alternativeChains }) => [issuer.chain, ...alternativeChains]);
      this.#names = new Set(chains.flat().map((certificate) => foldedNameOf(parseDer(certificate.subject))));
      this.#readFrom = generations;
    }
    return this.#names.has(foldedName(subject));
  }
}
