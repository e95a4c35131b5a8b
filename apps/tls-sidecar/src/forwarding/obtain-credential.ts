import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@nestjs/common';
import { type Hsm, HsmError } from '@nest-hsm/hsm';
import { type Credential, credentialFromCa, credentialFromFile, TlsOffloadError } from '@nest-hsm/tls-offload';
import type { Config } from '../config.js';

const firstDelayMilliseconds = 500;
const longestDelayMilliseconds = 30_000;

/**
 * The certificate and its key, waited for while the issuer or the token is away: a sidecar that starts before its CA comes
 * up by itself.
 * @returns undefined when the signal ends the waiting
 * @throws {TlsOffloadError | HsmError} what waiting would not mend
 */
export async function obtainCredential(
  hsm: Hsm,
  certificate: Config['certificate'],
  signal: AbortSignal,
  logger: Logger,
): Promise<Credential | undefined> {
  for (let wait = firstDelayMilliseconds; ; wait = Math.min(2 * wait, longestDelayMilliseconds)) {
    try {
      return await obtain(hsm, certificate, signal, logger);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!passes(error)) throw error;
      // Between half and all of it, so that a fleet does not come back in step.
      const milliseconds = Math.round(wait * (0.5 + Math.random() / 2));
      logger.warn(`${error.code}: ${error.message}; trying again in ${milliseconds} ms`);
      await delay(milliseconds, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
    }
  }
}

function obtain(
  hsm: Hsm,
  { ca, file }: Config['certificate'],
  signal: AbortSignal,
  logger: Logger,
): Promise<Credential> {
  if (file !== undefined) return credentialFromFile(hsm, file);
  if (ca === undefined) throw new TypeError('certificate: want ca or file, as the configuration has been checked');
  return credentialFromCa(hsm, ca, {
    signal,
    renewalPostponed: (error) => logger.warn(`certificate is due, kept for now: ${error.code}: ${error.message}`),
  });
}

function passes(error: unknown): error is TlsOffloadError | HsmError {
  if (error instanceof TlsOffloadError) return error.code === 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE';
  return error instanceof HsmError && error.retryable;
}
