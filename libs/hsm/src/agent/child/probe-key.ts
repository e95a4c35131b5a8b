import { randomBytes } from 'node:crypto';
import { type KeyId, probeKeyLabel } from '../../key/key.js';
import type { KeyPage } from '../protocol.js';
import { Call } from './call.js';
import type { RequestHandler, TokenRequest } from './request-handler.js';

const patienceMilliseconds = 5_000;

/**
 * Makes the key that clients of a shared agent probe the token with, where there is none and one can be made.
 * @returns the ids of those there are: by them a probe is told from other signatures
 */
export async function ensureProbeKey(handler: RequestHandler): Promise<ReadonlySet<KeyId>> {
  const ask = (request: Pick<TokenRequest, 'verb' | 'request'>): Promise<unknown> => {
    const header = { requestId: 0, remainingMilliseconds: patienceMilliseconds, correlationId: '' };
    return handler.handle(new Call(patienceMilliseconds, ''), { ...header, ...request } as TokenRequest);
  };
  try {
    const found = (await ask({ verb: 'findKeys', request: { label: probeKeyLabel, usage: 'sign' } })) as KeyPage;
    if (found.length > 0) return new Set(found.map(({ id }) => id));
    const id = randomBytes(16).toString('hex') as KeyId;
    const key = { id, label: probeKeyLabel, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
    await ask({ verb: 'generateKey', request: key });
    return new Set([id]);
  } catch {
    // Without ECDSA, without room, without the right to write: they take random bytes for a probe.
    return new Set();
  }
}
