import { fileURLToPath } from 'node:url';
import nodeGypBuild from 'node-gyp-build';
import type { Plaintext } from '../value-encoding.js';
import type { Cells, CellSecret, IndexSecret } from './cells.js';

/** The face of `native/src/binding.cc`. Arguments that are not as declared throw TypeError. */
interface Addon {
  readonly CellKey: new (header: Uint8Array, key: Uint8Array) => CellSecret;
  readonly IndexKey: new (tag: Uint8Array, key: Uint8Array) => IndexSecret;
  readonly encryptCells: (
    key: CellSecret,
    prefixes: readonly Uint8Array[],
    rowKeys: readonly string[],
    keyTexts: number,
    cells: readonly unknown[],
  ) => (string | null | undefined)[];
  readonly decryptCells: (
    keys: readonly CellSecret[],
    prefixes: readonly Uint8Array[],
    areTexts: Uint8Array,
    rowKeys: readonly string[],
    keyTexts: number,
    cells: readonly unknown[],
  ) => (Plaintext | null | undefined)[] | number;
}

/**
 * Cells by the native addon, over the OpenSSL of this Node.js: one call for all of them.
 * @throws {Error} when there is no binary for this platform or Node.js does not export OpenSSL
 */
export function loadNativeCells(): Cells {
  const addon = nodeGypBuild(fileURLToPath(new URL('../..', import.meta.url))) as Addon;
  return {
    name: 'native',
    importKey: (header, key) => new addon.CellKey(Buffer.from(header, 'latin1'), key),
    importIndexKey: (tag, key) => new addon.IndexKey(Buffer.from(tag, 'latin1'), key),
    encrypt: (secret, prefixes, { rowKeys, keyTexts, cells }) =>
      addon.encryptCells(secret, prefixes, rowKeys, keyTexts, cells),
    decrypt: (secrets, prefixes, areTexts, { rowKeys, keyTexts, cells }) =>
      addon.decryptCells(secrets, prefixes, areTexts, rowKeys, keyTexts, cells),
  };
}
