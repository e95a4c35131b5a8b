import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import { type Credential, credentialFromCa, credentialFromFile, TlsOffloadError } from '@nest-hsm/tls-offload';
import type { Config } from '../config.js';

const firstRetryMilliseconds = 500;
const longestRetryMilliseconds = 30_000;

/**
 * The certificate to serve. An issuer that cannot be reached is asked again until it answers: a sidecar often starts before
 * its CA.
 * @throws {TlsOffloadError | HsmError} whatever waiting does not mend
 * @throws the signal's reason once it is aborted
 */
export async function obtainCredential(
  hsm: Hsm,
  source: Config['certificate'],
  signal: AbortSignal,
): Promise<Credential> {
  if ('file' in source) return credentialFromFile(hsm, source.file);
  const logger = new Logger('certificate');
  const renewalPostponed = ({ code, message }: TlsOffloadError): void =>
    logger.warn(`serving the stored certificate, due for renewal: ${code} ${message}`);
  for (let pause = firstRetryMilliseconds; ; pause = Math.min(pause * 2, longestRetryMilliseconds)) {
    try {
      return await credentialFromCa(hsm, source.ca, { signal, renewalPostponed });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof TlsOffloadError) || error.code !== 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE') throw error;
      logger.warn(`no certificate yet, asking again in ${pause} ms: ${error.code} ${error.message}`);
      await delay(pause, undefined, { signal });
    }
  }
}
