import type { KeyObject } from 'node:crypto';
import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { AuditError } from '../errors.js';
import { type Chain, readSettledChains, syncSegment } from '../trail/chain.js';
import { walkChain } from '../trail/chain-walk.js';
import type { Finding } from '../trail/finding.js';
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
  readonly #file: CheckpointFile;

  constructor(
    private readonly hsm: CheckpointHsm,
    private readonly settings: CheckpointSettings,
  ) {
    this.#file = new CheckpointFile(settings.file);
  }

  /**
   * Makes the next checkpoint, which is on the disk when this returns. Processes that share a file take turns.
   * @param first  that it is the first of its trail: a file that is gone would otherwise have the numbers begin anew
   * @throws {AuditError} ERR_AUDIT_TRAIL_ALTERED | ERR_AUDIT_CHECKPOINTS_ALTERED | ERR_AUDIT_CHECKPOINTS_MISSING | ERR_AUDIT_KEY_UNSUITABLE |
   * ERR_AUDIT_TRAIL_UNREADABLE | ERR_AUDIT_FILE_UNUSABLE @throws {HsmError} as `Hsm.findKey` and `Hsm.sign`
   */
  async checkpoint({ first = false }: { readonly first?: boolean } = {}): Promise<SignedCheckpoint> {
    const signer = await this.#signer();
    return this.#file.locked(async () => {
      const previous = await this.#file.last();
      this.#assertBegun(previous, first);
      if (previous !== undefined) this.#assertOurs(previous, signer);
      const chains = await this.#heads(previous?.checkpoint.chains ?? []);
      const next = await this.#sign(signer, chains, previous);
      await this.#file.append(next);
      return next;
    });
  }

  async #signer(): Promise<Signer> {
    const { key: name } = this.settings;
    const key = await this.hsm.findKey(name.startsWith('pkcs11:') ? name : { label: name });
    const { usage, publicKey, algorithm } = key;
    if (usage === 'sign' && publicKey !== undefined && isP256(publicKey)) return { key, publicKey };
    throw new AuditError('ERR_AUDIT_KEY_UNSUITABLE', `key ${name}: want one that signs with ec-p256, got ${algorithm}`);
  }

  #assertBegun(previous: SignedCheckpoint | undefined, first: boolean): void {
    const { file } = this.settings;
    if (previous === undefined && !first) {
      const message = `${file}: want the checkpoints that were made before, got none: the first one is to be asked for as such`;
      throw new AuditError('ERR_AUDIT_CHECKPOINTS_MISSING', message);
    }
    if (previous === undefined || !first) return;
    const got = `checkpoint ${previous.checkpoint.number}`;
    throw new AuditError('ERR_AUDIT_ARGUMENT_INVALID', `${file}: want no checkpoint before the first, got ${got}`);
  }

  /** Nobody may have us continue what we did not begin. */
  #assertOurs(previous: SignedCheckpoint, { key, publicKey }: Signer): void {
    const { checkpoint } = previous;
    const isOurs = checkpoint.publicKey === publicKeyText(publicKey) && isSignedBy(previous, publicKey);
    if (isOurs && checkpoint.trail === this.settings.trail) return;
    const got = isOurs ? `one of trail ${checkpoint.trail}` : `one that key ${key.label} did not sign`;
    const want = `want a checkpoint of trail ${this.settings.trail} to follow`;
    throw new AuditError('ERR_AUDIT_CHECKPOINTS_ALTERED', `${this.settings.file}: ${want}, got ${got}`);
  }

  /** How far each chain goes, and that it goes on from where it was. */
  async #heads(previous: readonly ChainHead[]): Promise<ChainHead[]> {
    const chains = await readSettledChains(this.settings.directories);
    const gone = previous.find(({ name }) => chains.every((chain) => chain.name !== name));
    if (gone !== undefined) throw altered(`chain ${gone.name}: want it to be there, got no segment`);
    const heads: ChainHead[] = [];
    for (const chain of chains) {
      let head = previous.find(({ name }) => name === chain.name);
      for await (const step of walkChain(chain, head)) {
        if (step.type === 'finding') throw refused(chain, step.finding);
        if (step.type === 'record') head = { ...step.place, name: chain.name };
      }
      // A chain that an agent is about to begin has no record yet.
      if (head === undefined) continue;
      await syncSince(chain, previous.find(({ name }) => name === chain.name)?.segment);
      heads.push(head);
    }
    return heads.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  }

  async #sign(
    { key, publicKey }: Signer,
    chains: readonly ChainHead[],
    previous: SignedCheckpoint | undefined,
  ): Promise<SignedCheckpoint> {
    const text = checkpointText({
      chains,
      number: (previous?.checkpoint.number ?? 0) + 1,
      previous: previous === undefined ? noPrevious : checkpointHash(previous),
      publicKey: publicKeyText(publicKey),
      time: new Date().toISOString(),
      trail: this.settings.trail,
      type: 'nest-hsm-audit-checkpoint/1',
    });
    const signature = await this.hsm.sign(key, 'ecdsa-sha256', Buffer.from(text), { verify: true });
    return { checkpoint: JSON.parse(text) as SignedCheckpoint['checkpoint'], text, signature };
  }
}

/** What was vouched for. @param first  name of the first segment that has records since */
async function syncSince({ segments }: Chain, first: string | undefined): Promise<void> {
  const index = segments.findIndex(({ name }) => name === first);
  for (const segment of segments.slice(Math.max(0, index))) await syncSegment(segment);
}

interface Signer {
  readonly key: HsmKey;
  readonly publicKey: KeyObject;
}

/** What cannot be read at the moment may be what it was. */
function refused({ name }: Chain, { kind, message }: Finding): AuditError {
  const text = `chain ${name}: ${message}`;
  return kind === 'inaccessible' ? new AuditError('ERR_AUDIT_TRAIL_UNREADABLE', text) : altered(text);
}

function altered(message: string): AuditError {
  return new AuditError('ERR_AUDIT_TRAIL_ALTERED', message);
}
