import { readFile } from 'node:fs/promises';
import type { Hsm } from '@nest-hsm/hsm';
import { type FileCredentialConfig, fileCredentialConfigSchema, parseConfig } from '../config.js';
import { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';

/**
 * A credential whose certificate somebody else looks after, and whose key is on the token already.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
 * @throws {HsmError} as `Hsm.findKey`
 */
export async function credentialFromFile(hsm: Hsm, config: FileCredentialConfig): Promise<Credential> {
  const { certificateFile, keyLabel } = parseConfig(fileCredentialConfigSchema, 'certificate file', config);
  const key = await hsm.findKey({ label: keyLabel, usage: 'sign' });
  return Credential.fromPem(await read(certificateFile), key, hsm, certificateFile);
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      `${file}: want a readable file, got ${(cause as Error).message}`,
      { cause },
    );
  }
}
