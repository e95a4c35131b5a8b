import { createPublicKey } from 'node:crypto';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { MemberStatus } from '../fleet/observer.js';
import type { HsmKey, KeyDescription, KeySelector } from '../key/key.js';
import { formatKeyUri, keyUriType, parseKeyUri } from '../key/key-uri.js';
import { versionOf } from '../key/key-version.js';
import type { FleetKeys } from './fleet-keys.js';
import type { FoundKeys } from './key-management.js';

/** The keys of a fleet as callers name and see them: by URI or selector, with their public half, URI and version. */
export class KeyDirectory {
  constructor(
    private readonly keys: FleetKeys,
    private readonly fleet: { readonly status: readonly MemberStatus[] },
  ) {}

  /**
   * The one that is meant: of versions the newest that can be used.
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_NOT_REPLICATED
   */
  async one(selector: KeySelector | string, options: FleetCallOptions): Promise<HsmKey> {
    const found =
      typeof selector === 'string' ? await this.#resolve(selector, options) : await this.keys.find(selector, options);
    const choice = this.keys.choose(found);
    if ('key' in choice) return this.entry(choice.key);
    const name = typeof selector === 'string' ? 'of that URI' : (selector.label ?? selector.id ?? '(any)');
    const code = choice.count === 0 ? 'ERR_HSM_KEY_NOT_FOUND' : 'ERR_HSM_KEY_AMBIGUOUS';
    throw new HsmError(
      code,
      `key ${name}: want one on token ${this.#tokenLabels.join(', ')}, got ${choice.count || 'none'}`,
    );
  }

  async all(selector: KeySelector, options: FleetCallOptions): Promise<readonly HsmKey[]> {
    return (await this.keys.find(selector, options)).keys.map((key) => this.entry(key));
  }

  entry({ members = [], ...key }: KeyDescription & { readonly members?: readonly string[] }): HsmKey {
    const publicKey = key.spki && createPublicKey({ key: key.spki, format: 'der', type: 'spki' });
    const { id, label } = key;
    // Where the members' tokens are named differently the key is not of one of them.
    const [token, another] = this.#tokenLabels;
    const uri = formatKeyUri({
      token: another === undefined ? token : undefined,
      object: label,
      id,
      type: keyUriType(key),
    });
    const { version, madeOn } = versionOf(key);
    return Object.freeze({ ...key, publicKey, uri, version, madeOn, members });
  }

  /** The keys that a URI names: none when it is about another token. */
  async #resolve(text: string, options: FleetCallOptions): Promise<FoundKeys> {
    const uri = parseKeyUri(text);
    const found = await this.keys.find({ id: uri.id, label: uri.object }, options);
    const isNamed = this.fleet.status.some(({ token }) => {
      const here = token && { ...token, token: token.label };
      return (
        here &&
        (['token', 'manufacturer', 'serial', 'model'] as const).every(
          (each) => (uri[each] ?? here[each]) === here[each],
        )
      );
    });
    const keys = found.keys.filter((key) => isNamed && (uri.type === undefined || uri.type === keyUriType(key)));
    return { ...found, keys };
  }

  get #tokenLabels(): string[] {
    return [...new Set(this.fleet.status.flatMap(({ token }) => (token ? [token.label] : [])))];
  }
}
