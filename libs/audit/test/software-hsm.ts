import { generateKeyPairSync, sign } from 'node:crypto';
import type { Hsm, HsmKey, KeyId } from '@nest-hsm/hsm';
import type { CheckpointHsm } from '../src/checkpoint/checkpointer.js';

/** A real key in software, where what is tested is not the token. */
export class SoftwareHsm implements CheckpointHsm {
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly publicKey = this.#pair.publicKey;
  readonly pem = this.publicKey.export({ type: 'spki', format: 'pem' }).toString();

  findKey: Hsm['findKey'] = (selector) => {
    const label = typeof selector === 'string' ? selector : (selector.label ?? '');
    const spki = this.publicKey.export({ type: 'spki', format: 'der' });
    const id = '00'.repeat(16) as KeyId;
    const key: HsmKey = {
      ...{ id, label, algorithm: 'ec-p256', usage: 'sign', extractable: false, spki },
      ...{ uri: `pkcs11:object=${label}`, version: 1, publicKey: this.publicKey, members: [] },
    };
    return Promise.resolve(key);
  };

  sign: Hsm['sign'] = (_key, _scheme, data) => Promise.resolve(sign('sha256', data, this.#pair.privateKey));
}
