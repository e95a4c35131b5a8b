import type { HsmKey } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import type { CaCertificate } from '../issuance/ca-certificate.js';
import type { IssuedCertificate } from '../issuance/issuance.js';
import { issuer } from '../issuance/issuer.js';
import type { GenerationRecord } from '../store/authority-store.js';
import { caKeyId, findCaKey, findOrGenerateCaKey } from './ca-key.js';
import { requestFor } from './ca-request.js';
import { type ConfiguredCa, configuredCa, ofGeneration } from './configured-ca.js';
import { crossSign } from './cross-sign.js';
import { type HierarchyContext, hierarchyContext, type HierarchyOptions } from './hierarchy.js';
import { importCertificate } from './import-ca.js';
import { trustedChains } from './load-ca.js';
import { rollOver } from './rollover.js';

/** What an operator does with a CA's own keys and certificates. `name`: `root`, `issuing`, or as in the configuration. */
export class CaAdministration {
  readonly #context: HierarchyContext;

  /** @throws {CaError} ERR_CA_CONFIG_INVALID */
  constructor(options: HierarchyOptions) {
    this.#context = hierarchyContext(options);
  }

  /**
   * A certification request for a CA of ours, whose key is made if it is missing (RFC 2986).
   * @param generation  of an issuer, from 1
   * @returns DER
   * @throws {CaError} ERR_CA_CONFIG_INVALID | ERR_CA_ISSUER_UNUSABLE | ERR_CA_STORE_UNAVAILABLE
   */
  async request(name: string, generation = 1): Promise<Buffer> {
    const ca = this.#ca(name, generation);
    const { token, observer, certificates } = this.#context;
    const key = await certificates.exclusively(() => findOrGenerateCaKey(token, ca, observer));
    return requestFor(this.#context, ca, key);
  }

  /**
   * Takes in the certificate that a CA elsewhere made for one of ours.
   * @param der  certificates, in any order, the root among them
   * @param rootSha256  in hexadecimal; the configured pin when absent. Another root's is for cross-signing
   * @returns its certificate first, the root last
   * @throws {CaError} ERR_CA_IMPORT_REFUSED
   */
  async import(
    name: string,
    der: readonly Buffer[],
    { generation = 1, rootSha256 }: { readonly generation?: number; readonly rootSha256?: string } = {},
  ): Promise<readonly CaCertificate[]> {
    const ca = this.#ca(name, generation);
    const root = rootSha256?.replaceAll(':', '').toLowerCase() ?? this.#context.config.authority.root.sha256;
    if (root === undefined)
      throw new CaError(
        'ERR_CA_IMPORT_REFUSED',
        'import: want the SHA-256 of the root, got none and no authority.root.sha256',
      );
    return importCertificate(this.#context, ca, await this.#key(ca), der, root);
  }

  /** Certifies another CA's key under its own name. @param by  the CA of ours that signs @throws as `crossSign` */
  async crossSign(by: string, der: Buffer, validityDays: number): Promise<IssuedCertificate> {
    const ca = this.#ca(by, 1);
    const key = await this.#key(ca);
    const [chain] = await trustedChains(this.#context, ca, caKeyId(key));
    return crossSign(this.#context, issuer(key, chain), der, validityDays);
  }

  /** Makes the next generation of an issuer. @throws as `rollOver` */
  async rollOver(name: string, activeFrom: Date): Promise<GenerationRecord> {
    return rollOver(this.#context, name, activeFrom);
  }

  #ca(name: string, generation: number): ConfiguredCa {
    const ca = configuredCa(this.#context.config.authority, name);
    if (generation > 1 && ca.kind !== 'issuing')
      throw new CaError('ERR_CA_CONFIG_INVALID', `${name}: want an issuing CA to have generations, got ${ca.kind}`);
    return ofGeneration(ca, generation);
  }

  async #key(ca: ConfiguredCa): Promise<HsmKey> {
    const key = await findCaKey(this.#context.token, ca);
    if (key !== undefined) return key;
    throw new CaError('ERR_CA_NOT_INITIALIZED', `${ca.name} CA: want key ${ca.label} on the token, got none`);
  }
}
