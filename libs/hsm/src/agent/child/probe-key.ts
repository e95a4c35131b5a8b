import { randomBytes } from 'node:crypto';
import { type KeyId, probeKeyLabel } from '../../key/key.js';
import { Call } from './call.js';
import type { RequestHandler, TokenRequest } from './request-handler.js';

const patienceMilliseconds = 5_000;

/** Makes the key that clients of a shared agent probe the token with, where there is none and one can be made. */
export async function ensureProbeKey(handler: RequestHandler): Promise<void> {
  const ask = (request: Pick<TokenRequest, 'verb' | 'request'>): Promise<unknown> => {
    const header = { requestId: 0, remainingMilliseconds: patienceMilliseconds, correlationId: '' };
    return handler.handle(new Call(patienceMilliseconds, ''), { ...header, ...request } as TokenRequest);
  };
  try {
    const found = await ask({ verb: 'findKeys', request: { label: probeKeyLabel, usage: 'sign' } });
    if ((found as unknown[]).length > 0) return;
    const id = randomBytes(16).toString('hex') as KeyId;
    const key = { id, label: probeKeyLabel, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
    await ask({ verb: 'generateKey', request: key });
  } catch {
    // Without ECDSA, without room, without the right to write: they take random bytes for a probe.
  }
}
