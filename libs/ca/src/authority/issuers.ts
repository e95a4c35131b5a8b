import { CaError, isCaError } from '../errors.js';
import type { CaCertificate } from '../issuance/ca-certificate.js';
import type { Issuer } from '../issuance/issuer.js';
import type { CaObserver } from '../observer.js';
import { certificateKeyId } from './ca-key.js';
import { type ConfiguredCa, configuredCas, ofGeneration } from './configured-ca.js';
import type { Chain } from './chains.js';
import { type CaSource, loadCa } from './load-ca.js';

/** The issuer that signs what no other one is named for. */
export const defaultIssuer = 'issuing';

/** One key and certificate of a named issuer. */
export interface Generation {
  /** The issuer's name in the configuration. */
  readonly name: string;
  /** From 1. */
  readonly generation: number;
  /** New certificates are signed by the latest generation whose time has come. */
  readonly activeFrom: Date;
  readonly issuer: Issuer;
  /** Chains besides the issuer's own one: up to other roots, or by other ways (cross-signing). */
  readonly alternativeChains: readonly Chain[];
}

interface IssuersContext extends CaSource {
  readonly observer: CaObserver;
  readonly now: () => Date;
}

/**
 * Every issuer in service. The latest generation of each name whose time has come signs new certificates; an earlier one stays,
 * for CRLs and OCSP, until its last certificate has expired. A rollover adds a row and changes none.
 */
export class Issuers {
  #generations: readonly Generation[] = [];
  readonly #cas: readonly ConfiguredCa[];

  private constructor(private readonly context: IssuersContext) {
    this.#cas = configuredCas(context.config.authority).filter(({ kind }) => kind === 'issuing');
  }

  /** @throws {CaError} ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE | ERR_CA_STORE_UNAVAILABLE */
  static async load(context: IssuersContext): Promise<Issuers> {
    const issuers = new Issuers(context);
    await issuers.refresh();
    return issuers;
  }

  /** Takes over what a rollover added, and lets go of what is over. When it fails, everything stays as it was. @throws as `load` */
  async refresh(): Promise<void> {
    const rows = await this.context.authorities.listGenerations();
    const generations: Generation[] = [];
    for (const ca of this.#cas) {
      const later = rows.filter(({ name }) => name === ca.name);
      const all = [{ name: ca.name, generation: 1, activeFrom: new Date(0), issuerId: undefined }, ...later];
      for (const [index, row] of all.entries()) {
        const isRetired = all.slice(index + 1).some(({ activeFrom }) => activeFrom <= this.context.now());
        const isNewest = index === all.length - 1;
        const generation = isRetired ? await this.#loadRetired(ca, row) : await this.#load(ca, row, isNewest);
        if (generation !== undefined) generations.push(generation);
      }
    }
    this.#generations = generations;
  }

  /** @throws {CaError} ERR_CA_CONFIG_INVALID when an issuer is named for a profile that is not there */
  assertProfiles(profiles: ReadonlyMap<string, unknown>): void {
    for (const { name, profiles: own = [] } of this.#cas) {
      const unknown = own.filter((profile) => !profiles.has(profile));
      if (unknown.length > 0)
        throw new CaError('ERR_CA_CONFIG_INVALID', `${name}: want profiles that there are, got ${unknown.join(', ')}`);
    }
  }

  /** All generations in service, of every issuer. */
  get generations(): readonly Generation[] {
    return this.#generations;
  }

  /** The generation that signs new certificates now. @throws {CaError} ERR_CA_NOT_INITIALIZED when no issuer has the name */
  active(name = defaultIssuer): Issuer {
    const now = this.context.now();
    const begun = this.#generations.filter((each) => each.name === name && each.activeFrom <= now);
    const last = begun.at(-1);
    if (last !== undefined) return last.issuer;
    throw new CaError('ERR_CA_NOT_INITIALIZED', `issuer: want one that is in service, got ${JSON.stringify(name)}`);
  }

  /** The issuer that signs certificates of a profile now. */
  ofProfile(profile: string): Issuer {
    return this.active(this.#cas.find(({ profiles }) => profiles?.includes(profile))?.name);
  }

  /** The generation with that key identifier, if it is in service. @param id  hexadecimal */
  find(id: string): Generation | undefined {
    return this.#generations.find(({ issuer }) => issuer.id === id);
  }

  /** @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND when no issuer in service has that id */
  inService(id: string): Generation {
    const generation = this.find(id);
    if (generation !== undefined) return generation;
    throw new CaError(
      'ERR_CA_CERTIFICATE_NOT_FOUND',
      `issuer: want the id of one in service, got ${JSON.stringify(id.slice(0, 64))}`,
    );
  }

  /** The certificate of an issuer in service, or of a CA above one. @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND */
  certificate(id: string): CaCertificate {
    const above = this.#generations.flatMap(({ issuer }) => issuer.chain);
    const found = this.find(id)?.issuer.certificate ?? above.find((each) => certificateKeyId(each) === id);
    return found ?? this.inService(id).issuer.certificate;
  }

  async #load(ca: ConfiguredCa, row: GenerationRow, isNewest: boolean): Promise<Generation> {
    const { generation, activeFrom, issuerId } = row;
    const { issuer, alternativeChains } = await loadCa(this.context, ofGeneration(ca, generation), isNewest);
    if (issuerId !== undefined && issuer.id !== issuerId)
      throw new CaError(
        'ERR_CA_ISSUER_UNUSABLE',
        `generation ${generation} of ${ca.name}: want key ${issuerId} on the token, got ${issuer.id}`,
      );
    return { name: ca.name, generation, activeFrom, issuer, alternativeChains };
  }

  /** A retired generation is left out once it has no certificate to answer for; that its key is gone stops nobody else. */
  async #loadRetired(ca: ConfiguredCa, row: GenerationRow): Promise<Generation | undefined> {
    try {
      const generation = await this.#load(ca, row, false);
      const last = await this.context.certificates.lastExpiry(generation.issuer.id);
      return last !== undefined && last >= this.context.now() ? generation : undefined;
    } catch (error) {
      if (!isCaError(error, 'ERR_CA_NOT_INITIALIZED') && !isCaError(error, 'ERR_CA_ISSUER_UNUSABLE')) throw error;
      this.context.observer.jobFailed?.('issuers', error);
      // What was in service stays: its CRL may not lapse because a key is not listed for a minute.
      return this.#generations.find(({ name, generation }) => name === ca.name && generation === row.generation);
    }
  }
}

interface GenerationRow {
  readonly generation: number;
  readonly activeFrom: Date;
  readonly issuerId: string | undefined;
}
