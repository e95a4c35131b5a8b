import { createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import type { Hsm, HsmKey, KeySelector, SignedReceipt } from '@nest-hsm/hsm';
import type { ShreddingHsm } from '../src/typeorm/shredding/shredding-hsm.js';
import { createHsmError } from './data-keys.js';
import { SoftwareKek } from './software-kek.js';

type Step = 'listKeys' | 'rotateKey' | 'destroyKey' | 'receiptKey' | 'sign';

/** A fleet in software that destroys keys with receipts: for tests that fail it at a step, or leave backups. */
export class SoftwareFleet extends SoftwareKek implements ShreddingHsm {
  /** Backups that could give back what is destroyed. */
  backups: string[] = [];
  /** The next call of this step fails, once. */
  failsAt: Step | undefined;
  /** Done once right after the next call of this step: what another process may do at that moment. */
  meanwhile: { readonly step: Step; readonly work: () => unknown } | undefined;
  readonly #signer = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly #receipts: SignedReceipt[] = [];

  get publicKey(): string {
    return this.#signer.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  async listKeys({ label }: KeySelector = {}): Promise<readonly HsmKey[]> {
    this.#step('listKeys');
    const keys = this.keys.filter((key) => key.label === label);
    await this.#meanwhile('listKeys');
    return keys;
  }

  async rotateKey(label: string): Promise<HsmKey> {
    this.#step('rotateKey');
    const key = this.addKey(label);
    await this.#meanwhile('rotateKey');
    return key;
  }

  async destroyKey(key: HsmKey): Promise<SignedReceipt> {
    this.#step('destroyKey');
    const { id, label, algorithm, usage } = key;
    const isKnown =
      this.keys.some((each) => each.id === id) || this.#receipts.some(({ receipt }) => receipt.key.id === id);
    if (!isKnown) throw createHsmError('ERR_HSM_KEY_NOT_FOUND');
    this.removeKey(id);
    const state = this.backups.length === 0 ? ('destroyed' as const) : ('pending' as const);
    const now = new Date().toISOString();
    const receipt = {
      ...{
        type: 'nest-hsm key destruction' as const,
        version: 1 as const,
        state,
        key: { id, label, algorithm, usage },
      },
      ...{ fleet: 'software', by: { client: 'test' }, intended: now, issued: now, members: [], remarks: [] },
      backups: { knowledge: 'listed' as const, restorable: [...this.backups], remark: '' },
    };
    this.#receipts.push({ receipt, text: JSON.stringify(receipt) });
    return Promise.resolve(this.#receipts[this.#receipts.length - 1]);
  }

  async receipts(): Promise<readonly SignedReceipt[]> {
    return Promise.resolve(this.#receipts);
  }

  async receiptKey(): Promise<HsmKey> {
    this.#step('receiptKey');
    return Promise.resolve({ ...this.addKey('receipts', 'sign'), publicKey: createPublicKey(this.publicKey) });
  }

  async sign(_: HsmKey, __: Parameters<Hsm['sign']>[1], data: Uint8Array): Promise<Buffer> {
    this.#step('sign');
    return Promise.resolve(createSign('sha256').update(data).sign(this.#signer.privateKey));
  }

  async #meanwhile(step: Step): Promise<void> {
    const { meanwhile } = this;
    if (meanwhile?.step !== step) return;
    this.meanwhile = undefined;
    await meanwhile.work();
  }

  #step(step: Step): void {
    if (this.failsAt !== step) return;
    this.failsAt = undefined;
    throw createHsmError('ERR_HSM_UNAVAILABLE');
  }
}
