import { isDeepStrictEqual } from 'node:util';
import { fingerprint } from '../algorithm/encoding-public-key.js';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { KeyDescription, KeyId } from '../key/key.js';
import { destroyOnMember, lookOnMember } from './destruction-member.js';
import { type DestructionRecord, lastReceipt, merged, signedReceipt, unfinished } from './destruction-record.js';
import type { DestructionStore } from './destruction-store.js';
import { measurementKeyPrefix } from './infrastructure.js';
import { notFoundAnywhere } from './key-management.js';
import { type BackupKnowledge, type Receipt, receiptDigest, receiptText, type SignedReceipt } from './receipt.js';
import type { ReplicationMember } from './replication-member.js';

const tickMilliseconds = 1_000;
/** What no member has to be asked for (backups, a signature) is looked at so much more seldom. */
const ticksPerReview = 30;
/** As many as are kept of one key. */
const maximumReceipts = 12;

/** Signs with the receipt key. */
export interface ReceiptSigner {
  /** SHA-256 of the key's SubjectPublicKeyInfo. */
  readonly fingerprint: string;
  sign(text: string): Promise<Buffer>;
}

export interface DestructionTerms {
  readonly fleet: string;
  readonly client: string;
  readonly deadlineMilliseconds: number;
  members(): readonly ReplicationMember[];
  /** Members, of this fleet or not, that may have the key. */
  holders(id: KeyId): Promise<readonly string[]>;
  /** Takes away whatever else the key could be had from again, once and for all. */
  forget(id: KeyId): Promise<void>;
  backups(id: KeyId): Promise<BackupKnowledge>;
  /** @throws {HsmError} when the receipt key can neither be found nor made now */
  signer(): Promise<ReceiptSigner>;
}

export interface DestructionOptions extends FleetCallOptions {
  /** Who asked for it, as the receipt says; at most 200 characters. */
  readonly operator?: string;
}

/**
 * Destroys keys on every member, however long some are away, and says what became of them. From the moment the intent is on the
 * disk the key is of no use to any process that shares this directory; whichever of them runs when a member returns goes on.
 */
export class Destructions {
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #resuming: Promise<unknown> = Promise.resolve();
  readonly #settled = new Set<KeyId>();

  constructor(
    private readonly store: DestructionStore,
    private readonly terms: DestructionTerms,
  ) {
    // What is left of earlier ones is looked at with the first tick, when members have had time to log in.
    this.#timer = setTimeout(() => this.#tick(), tickMilliseconds).unref();
  }

  /** Whether the key was destroyed or is being so. */
  has(id: KeyId): boolean {
    return this.store.has(id);
  }

  /**
   * @returns what became of it; `pending` when a member could not be asked to the end, which is then done when it can
   * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND when every member was asked and none has it | ERR_HSM_POLICY_DENIED |
   * ERR_HSM_KEYRING_UNUSABLE; nothing was destroyed then, and what was begun goes on by itself
   */
  async destroy(key: KeyDescription, options: DestructionOptions): Promise<SignedReceipt> {
    const known = await this.store.read(key.id);
    const { record, isOurs } = known ? { record: known, isOurs: false } : await this.#intend(key, options);
    try {
      // Also where it is said to be gone: perhaps somebody brought it back.
      return await this.#work(record, this.terms.members(), options);
    } catch (error) {
      // Every member has the same policy: none destroyed anything.
      const isDenied = error instanceof HsmError && error.fault === 'policy';
      if (isDenied && isOurs) await this.store.remove(key.id);
      throw error;
    }
  }

  /** Every receipt that is kept, of all keys. */
  async receipts(): Promise<readonly SignedReceipt[]> {
    const records = await this.store.list();
    return records.flatMap(({ receipts }) => receipts.map(signedReceipt));
  }

  /** Goes on with what is not finished, on members that can be reached. */
  async resume(isReview = true): Promise<void> {
    await this.store.refresh();
    for (const id of this.store.ids) {
      // One that cannot be gone on with now, or whose file is damaged, keeps no other waiting.
      if (!this.#settled.has(id)) await this.#resume(id, isReview).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.store.close();
    await this.#resuming;
  }

  /** @returns what is on the disk from now on, and whether it was not there before */
  async #intend(
    key: KeyDescription,
    { operator, ...options }: DestructionOptions,
  ): Promise<{ record: DestructionRecord; isOurs: boolean }> {
    const members = this.terms.members();
    const seen = await Promise.all(members.map((member) => lookOnMember(member, key, options)));
    const holders = await this.terms.holders(key.id);
    const isNowhere = seen.every(({ state, found }) => state === 'destroyed' && found === 0);
    if (isNowhere && holders.length === 0) throw notFoundAnywhere(key.id);
    const away = holders.filter((name) => members.every((member) => member.name !== name));
    const { id, label, algorithm, usage, spki, extractable } = key;
    const intent: DestructionRecord = {
      ...{ version: 1, id, label, algorithm, usage, spki: extractable ? undefined : spki?.toString('base64') },
      by: { client: this.terms.client, operator: operator?.slice(0, 200) },
      intended: new Date().toISOString(),
      members: [
        ...seen,
        ...away.map((member) => ({ member, state: 'unreachable' as const, found: 0, reason: 'not in this fleet' })),
      ],
      receipts: [],
    };
    return this.store.locked(async () => {
      const other = await this.store.read(id);
      if (other === undefined) await this.store.write(intent);
      return { record: other ?? intent, isOurs: other === undefined };
    });
  }

  async #resume(id: KeyId, isReview: boolean): Promise<void> {
    const record = await this.store.read(id);
    if (record === undefined || isSettled(record)) {
      this.#settled.add(id);
      return;
    }
    const open = unfinished(record);
    const reachable = this.terms.members().filter(({ name, isReachable }) => isReachable && open.includes(name));
    if (reachable.length === 0 && !isReview) return;
    await this.#work(record, reachable, { deadlineMilliseconds: this.terms.deadlineMilliseconds });
  }

  async #work(
    record: DestructionRecord,
    members: readonly ReplicationMember[],
    options: FleetCallOptions,
  ): Promise<SignedReceipt> {
    // Before each attempt: whatever ended the one that wrote the intent, no backup brings the key back.
    await this.store.bury(record);
    const outcomes = await Promise.allSettled(members.map((member) => destroyOnMember(member, record, options)));
    const seen = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const refused = outcomes.find((each) => each.status === 'rejected');
    if (refused !== undefined && seen.every(({ state }) => state !== 'destroyed')) throw refused.reason;
    return this.store.locked(async () => {
      // Another process may have gone on with it too.
      const fresh = (await this.store.read(record.id)) ?? record;
      const next = { ...fresh, members: merged(fresh.members, seen) };
      if (unfinished(next).length > 0) return this.#conclude(next);
      await this.terms.forget(record.id);
      return (await this.#isForgettable(record)) ? this.#dismiss(next) : this.#conclude(next);
    });
  }

  /** Nobody relied on it, and nothing could bring it back. */
  async #isForgettable({ id, label }: DestructionRecord): Promise<boolean> {
    return label.startsWith(measurementKeyPrefix) && (await this.terms.backups(id)).restorable.length === 0;
  }

  /** Of a key that nobody relied on nothing is kept. */
  async #dismiss(record: DestructionRecord): Promise<SignedReceipt> {
    const receipt = await this.#receipt(record, undefined, undefined);
    await this.store.remove(record.id);
    return signedReceipt({ text: receiptText(receipt) });
  }

  /** Writes a receipt unless the last one says the same, and signs the one that is not. */
  async #conclude(record: DestructionRecord): Promise<SignedReceipt> {
    const before = lastReceipt(record);
    const signer = await this.terms.signer().catch(() => undefined);
    const next = await this.#receipt(record, before, signer?.fingerprint);
    const isNews = before === undefined || before.signature === undefined || !saysTheSame(before.receipt, next);
    let { receipts } = record;
    if (isNews) {
      // An unsigned one is not worth keeping.
      const kept = before?.signature === undefined ? receipts.slice(0, -1) : receipts;
      receipts = [...kept, await signed(receiptText(next), signer)].slice(-maximumReceipts);
    }
    await this.store.write({ ...record, receipts });
    return signedReceipt(receipts[receipts.length - 1]);
  }

  async #receipt(
    { id, label, algorithm, usage, spki, by, intended, members }: DestructionRecord,
    before: SignedReceipt | undefined,
    signer: string | undefined,
  ): Promise<Receipt> {
    const backups = await this.terms.backups(id);
    const isGone = members.every(({ state }) => state === 'destroyed') && backups.restorable.length === 0;
    const signedBefore = before?.signature === undefined ? undefined : before;
    return {
      type: 'nest-hsm key destruction',
      version: 1,
      state: isGone ? 'destroyed' : 'pending',
      key: { id, label, algorithm, usage, fingerprint: spki && fingerprint(Buffer.from(spki, 'base64')) },
      fleet: this.terms.fleet,
      by,
      intended,
      issued: new Date().toISOString(),
      members: [...members],
      backups,
      remarks: spki === undefined ? [secretKeyRemark] : [],
      previous: signedBefore ? receiptDigest(signedBefore.text) : before?.receipt.previous,
      signer,
    };
  }

  #tick(): void {
    const isReview = this.#ticks++ % ticksPerReview === 0;
    this.#resuming = this.resume(isReview)
      .catch(() => undefined)
      .finally(() => {
        if (this.#timer !== undefined) this.#timer = setTimeout(() => this.#tick(), tickMilliseconds).unref();
      });
  }
}

const secretKeyRemark =
  'A copy of a secret key under another id cannot be recognised: its check value on a token has three bytes. None was made here.';

async function signed(text: string, signer: ReceiptSigner | undefined): Promise<DestructionRecord['receipts'][number]> {
  try {
    return { text, signature: (await signer?.sign(text))?.toString('base64') };
  } catch {
    // It is signed when that can be done; that the key is gone is not to wait for it.
    return { text };
  }
}

function isSettled(record: DestructionRecord): boolean {
  const last = lastReceipt(record);
  return last?.receipt.state === 'destroyed' && last.signature !== undefined;
}

function saysTheSame(one: Receipt, other: Receipt): boolean {
  const essence = ({ state, members, backups }: Receipt): unknown => [
    state,
    members.map(({ member, state: of, found, left, reason }) => [member, of, found, left, reason]),
    backups,
  ];
  return isDeepStrictEqual(essence(one), essence(other));
}
