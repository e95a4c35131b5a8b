import type { KeyObject } from 'node:crypto';
import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { AuditError } from '../errors.js';
import { readChains } from '../trail/chain.js';
import { walkChain } from '../trail/chain-walk.js';
import {
  type ChainHead,
  checkpointHash,
  checkpointText,
  isP256,
  isSignedBy,
  noPrevious,
  publicKeyText,
  type SignedCheckpoint,
} from './checkpoint.js';
import { CheckpointFile } from './checkpoint-file.js';

/** What a checkpointer needs of the HSM: a token of its own, away from those whose use is audited. */
export type CheckpointHsm = Pick<Hsm, 'findKey' | 'sign'>;

export interface CheckpointSettings {
  /** Of the trail, in every checkpoint. */
  readonly trail: string;
  readonly directories: readonly string[];
  /** Checkpoints are appended to it. */
  readonly file: string;
  /** Label or RFC 7512 URI of an ec-p256 key. */
  readonly key: string;
}

/**
 * Signs how far each chain of a trail goes. It signs nothing that does not continue what it signed last: whoever cuts a chain
 * short or exchanges a record after a checkpoint gets no other checkpoint.
 */
export class Checkpointer {
  /** @throws {AuditError} ERR_AUDIT_KEY_UNSUITABLE @throws {HsmError} as `Hsm.findKey` */
  static async open(hsm: CheckpointHsm, settings: CheckpointSettings): Promise<Checkpointer> {
    const { key: name } = settings;
    const key = await hsm.findKey(name.startsWith('pkcs11:') ? name : { label: name });
    if (key.usage === 'sign' && key.publicKey !== undefined && isP256(key.publicKey)) {
      return new Checkpointer(hsm, key, key.publicKey, settings);
    }
    throw new AuditError(
      'ERR_AUDIT_KEY_UNSUITABLE',
      `key ${name}: want one that signs with ec-p256, got ${key.algorithm}`,
    );
  }

  readonly #file: CheckpointFile;

  private constructor(
    private readonly hsm: CheckpointHsm,
    private readonly key: HsmKey,
    /** To be pinned elsewhere. */
    readonly publicKey: KeyObject,
    private readonly settings: CheckpointSettings,
  ) {
    this.#file = new CheckpointFile(settings.file);
  }

  /**
   * Makes the next checkpoint, which is on the disk when this returns. Processes that share a file take turns.
   * @throws {AuditError} ERR_AUDIT_TRAIL_ALTERED | ERR_AUDIT_CHECKPOINTS_ALTERED | ERR_AUDIT_TRAIL_UNREADABLE |
   * ERR_AUDIT_FILE_UNUSABLE @throws {HsmError} as `Hsm.sign`
   */
  async checkpoint(): Promise<SignedCheckpoint> {
    return this.#file.locked(async () => {
      const previous = await this.#file.last();
      if (previous !== undefined) this.#assertOurs(previous);
      const next = await this.#sign(previous, await this.#heads(previous?.checkpoint.chains ?? []));
      await this.#file.append(next);
      return next;
    });
  }

  /** Nobody may have us continue what we did not begin. */
  #assertOurs(previous: SignedCheckpoint): void {
    const { checkpoint } = previous;
    const isOurs = checkpoint.publicKey === publicKeyText(this.publicKey) && isSignedBy(previous, this.publicKey);
    if (isOurs && checkpoint.trail === this.settings.trail) return;
    const got = isOurs ? `one of trail ${checkpoint.trail}` : `one that key ${this.key.label} did not sign`;
    const want = `want a checkpoint of trail ${this.settings.trail} to follow`;
    throw new AuditError('ERR_AUDIT_CHECKPOINTS_ALTERED', `${this.settings.file}: ${want}, got ${got}`);
  }

  /** How far each chain goes, and that it goes on from where it was. */
  async #heads(previous: readonly ChainHead[]): Promise<ChainHead[]> {
    const chains = await readChains(this.settings.directories);
    const gone = previous.find(({ name }) => chains.every((chain) => chain.name !== name));
    if (gone !== undefined) throw altered(`chain ${gone.name}: want it to be there, got no segment`);
    const heads: ChainHead[] = [];
    for (const chain of chains) {
      let head = previous.find(({ name }) => name === chain.name);
      for await (const step of walkChain(chain, head)) {
        if (step.type === 'finding') throw altered(`chain ${chain.name}: ${step.finding.message}`);
        if (step.type === 'record') head = { ...step.place, name: chain.name };
      }
      // A chain that an agent is about to begin has no record yet.
      if (head !== undefined) heads.push(head);
    }
    return heads.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  }

  async #sign(previous: SignedCheckpoint | undefined, chains: readonly ChainHead[]): Promise<SignedCheckpoint> {
    const text = checkpointText({
      chains,
      number: (previous?.checkpoint.number ?? 0) + 1,
      previous: previous === undefined ? noPrevious : checkpointHash(previous),
      publicKey: publicKeyText(this.publicKey),
      time: new Date().toISOString(),
      trail: this.settings.trail,
      type: 'nest-hsm-audit-checkpoint/1',
    });
    const signature = await this.hsm.sign(this.key, 'ecdsa-sha256', Buffer.from(text), { verify: true });
    return { checkpoint: JSON.parse(text) as SignedCheckpoint['checkpoint'], text, signature };
  }
}

function altered(message: string): AuditError {
  return new AuditError('ERR_AUDIT_TRAIL_ALTERED', message);
}
