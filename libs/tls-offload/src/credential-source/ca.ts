// @peculiar/x509 needs it before it loads.
import 'reflect-metadata';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { SubjectAlternativeNameExtension, X509Certificate } from '@peculiar/x509';
import { remainingLife } from '../certificate-chain.js';
import { type CaCredentialConfig, caCredentialConfigSchema, parseConfig } from '../config.js';
import { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import { makeCertificateRequest, type RequestedNames } from './certificate-request.js';
import { requestCertificate } from './issuer-client.js';

/** Below this share of its life, a stored certificate is replaced. */
const renewalShare = 1 / 3;

export interface CaCredentialOptions {
  readonly signal?: AbortSignal;
  /** A stored certificate is due for replacement, the issuer is away, and what is stored is still valid: it is used. */
  readonly renewalPostponed?: (error: TlsOffloadError) => void;
}

/**
 * A credential from a nest-hsm CA: the key found on the token or generated there, the request signed there, the issued
 * certificate checked against key and names before anybody sees it, and kept in a file for the next start.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE (worth trying again) |
 * ERR_TLS_OFFLOAD_ISSUANCE_REFUSED | ERR_TLS_OFFLOAD_CERTIFICATE_INVALID | ERR_TLS_OFFLOAD_KEY_MISMATCH
 * @throws {HsmError} as `Hsm.findKey` and `Hsm.generateKeyPair`
 */
export async function credentialFromCa(
  hsm: Hsm,
  config: CaCredentialConfig,
  options: CaCredentialOptions = {},
): Promise<Credential> {
  const parsed = parseConfig(caCredentialConfigSchema, 'certificate from a CA', config);
  const key = await findOrGenerateKey(hsm, parsed, options.signal);
  const stored = await readStored(parsed.certificateFile, key, hsm, parsed);
  if (stored !== undefined && remainingLife(stored.chain[0]) > renewalShare) return stored;

  const request = await makeCertificateRequest(hsm, key, parsed);
  let chainPem: string;
  try {
    chainPem = await requestCertificate(parsed, request, options.signal);
  } catch (error) {
    const away = error instanceof TlsOffloadError && error.code === 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE';
    if (stored === undefined || !away) throw error;
    options.renewalPostponed?.(error);
    return stored;
  }
  const credential = Credential.fromPem(chainPem, key, hsm, `certificate issued by ${parsed.url}`);
  checkNames(credential, parsed);
  await writeDurably(parsed.certificateFile, credential.chain.map((certificate) => certificate.toString()).join(''));
  return credential;
}

async function findOrGenerateKey(
  hsm: Hsm,
  { keyLabel, keyAlgorithm }: { keyLabel: string; keyAlgorithm: Parameters<Hsm['generateKeyPair']>[0]['algorithm'] },
  signal?: AbortSignal,
): Promise<HsmKey> {
  const keys = await hsm.listKeys({ label: keyLabel, usage: 'sign' }, { signal });
  // Processes that start together may each make the first: found by its label it is the same one for all.
  if (keys.length === 0)
    await hsm.generateKeyPair({ label: keyLabel, algorithm: keyAlgorithm, first: true }, { signal });
  // Says which and how many when there are several.
  const key = await hsm.findKey({ label: keyLabel, usage: 'sign' }, { signal });
  if (key.algorithm === keyAlgorithm) return key;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    `key ${keyLabel}: want ${keyAlgorithm} as configured, got ${key.algorithm} on the token`,
  );
}

/** @returns undefined when there is nothing that could be served: no file, another key or other names, not valid now */
async function readStored(file: string, key: HsmKey, hsm: Hsm, names: RequestedNames): Promise<Credential | undefined> {
  try {
    const credential = Credential.fromPem(await readFile(file, 'utf8'), key, hsm, file);
    checkNames(credential, names);
    return credential;
  } catch (error) {
    const unusable = error instanceof TlsOffloadError || (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (unusable) return undefined;
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CONFIG_INVALID',
      `${file}: want a file to keep the certificate in, got ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function checkNames({ chain: [leaf] }: Credential, { dnsNames, ipAddresses }: RequestedNames): void {
  const extension = new X509Certificate(leaf.raw).getExtension(SubjectAlternativeNameExtension);
  const certified = new Set(
    extension?.names.items.flatMap(({ type, value }) => (type === 'dns' ? value.toLowerCase() : [])),
  );
  const missing = [
    ...dnsNames.filter((name) => !certified.has(name.toLowerCase())),
    ...ipAddresses.filter((address) => leaf.checkIP(address) === undefined),
  ];
  if (missing.length === 0) return;
  throw new TlsOffloadError(
    'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
    `certificate: want the names that were requested, got one without ${missing.join(', ')}`,
  );
}

/** Whole or not at all: a crash leaves the old file or the new one. */
async function writeDurably(file: string, content: string): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  try {
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(temporary, 'w', 0o644);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    const message = `${file}: want a file to keep the certificate in, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message, { cause });
  }
}
