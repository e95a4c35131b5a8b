import { fingerprint } from '../algorithm/encoding-public-key.js';
import type { Fleet } from '../fleet/fleet.js';
import type { KeyDescription } from '../key/key.js';
import { lineageOfLabel, newestFirst, newKeyId } from '../key/key-version.js';
import type { ReceiptSigner } from './destruction.js';
import type { KeyManagement } from './key-management.js';
import { receiptKeyLabel } from './receipt.js';

/** The key that signs receipts, made when there is none. @throws {HsmError} when it can neither be found nor made */
export async function receiptKey(keys: KeyManagement): Promise<KeyDescription & { readonly spki: Buffer }> {
  const { keys: found } = await keys.find({ label: receiptKeyLabel, usage: 'sign' }, {});
  // Two processes may each have made the first: whoever verifies has pinned what was shown, so that all use the same one.
  const [newest] = newestFirst(found);
  const terms = { label: receiptKeyLabel, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
  const id = newKeyId(receiptKeyLabel, lineageOfLabel(receiptKeyLabel));
  const key = newest ?? (await keys.generate({ ...terms, id }, {}));
  return { ...key, spki: key.spki as Buffer };
}

export async function receiptSigner(keys: KeyManagement, fleet: Fleet): Promise<ReceiptSigner> {
  const key = await receiptKey(keys);
  const terms = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: true } as const;
  return {
    fingerprint: fingerprint(key.spki),
    sign: async (text) =>
      (await fleet.call('sign', { ...terms, keyId: key.id, data: Buffer.from(text) }, {})).signature,
  };
}
