import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Hsm } from '@nest-hsm/hsm';
import { type FileCredentialConfig, fileCredentialConfigSchema, parseConfig } from '../config.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import type { CredentialSource } from './credential-source.js';
import { type CredentialPurpose, proveByHandshake } from './self-handshake.js';
import { credentialOfVersions } from './token-key.js';

/** A file that is being written is left alone until it has not changed for so long. */
const settleMilliseconds = 200;
const longestSettling = 25;

/**
 * A certificate that somebody else looks after, in a file that is read again and again, and whose key is on the token already.
 * What the file says is served once it is whole, belongs to a version of the key and has proven itself in a handshake.
 */
export class FileCredentialSource implements CredentialSource {
  readonly name: string;
  readonly intervalMilliseconds = 5_000;
  readonly longestBackOffMilliseconds = 60_000;
  readonly #file: string;
  readonly #keyLabel: string;
  /** What the file said when it was last taken. */
  #taken: string | undefined;

  /**
   * @param purposes  what it is proven as: `['server']` unless told, `['client']` for a connector
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
   */
  constructor(
    private readonly hsm: Hsm,
    config: FileCredentialConfig,
    private readonly purposes?: readonly CredentialPurpose[],
  ) {
    const { certificateFile, keyLabel } = parseConfig(fileCredentialConfigSchema, 'certificate file', config);
    this.#file = certificateFile;
    this.#keyLabel = keyLabel;
    this.name = keyLabel;
  }

  async look(current: Credential | undefined, signal?: AbortSignal): Promise<Credential | undefined> {
    const text = await this.#read();
    if (current !== undefined && text === this.#taken) return undefined;
    return this.#take(await this.#settled(text, signal), signal);
  }

  async #take(text: string, signal?: AbortSignal): Promise<Credential> {
    const key = await this.hsm.findKey({ label: this.#keyLabel, usage: 'sign' }, { signal });
    const versions = await this.hsm.listKeys({ label: this.#keyLabel, usage: 'sign' }, { signal });
    const credential = credentialOfVersions(text, [key, ...versions], this.hsm, this.#file);
    await proveByHandshake(credential, this.purposes);
    this.#taken = text;
    return credential;
  }

  /** What is written once nobody writes any more. Half a file that nobody goes on with is a fault like others. */
  async #settled(text: string, signal?: AbortSignal): Promise<string> {
    for (let count = 0; count < longestSettling; count++) {
      await pause(settleMilliseconds, undefined, { signal });
      const again = await this.#read();
      if (again === text && isWhole(text)) return text;
      text = again;
    }
    return text;
  }

  async #read(): Promise<string> {
    try {
      return await readFile(this.#file, 'utf8');
    } catch (cause) {
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
        `${this.#file}: want a readable file, got ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/**
 * The credential of a file as it is now.
 * @param purposes  as of a `FileCredentialSource`
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
 * @throws {HsmError} as `Hsm.findKey`
 */
export async function credentialFromFile(
  hsm: Hsm,
  config: FileCredentialConfig,
  purposes?: readonly CredentialPurpose[],
): Promise<Credential> {
  return (await new FileCredentialSource(hsm, config, purposes).look(undefined)) as Credential;
}

/** Every block that begins ends too (RFC 7468 §3). */
function isWhole(text: string): boolean {
  const count = (boundary: RegExp): number => text.match(boundary)?.length ?? 0;
  const begun = count(/-----BEGIN /g);
  return begun > 0 && begun === count(/-----END [A-Z0-9 ]+-----/g);
}
