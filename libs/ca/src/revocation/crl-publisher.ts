import { derElements } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import type { IssuerToken, SigningAuthority } from '../issuance/issuer.js';
import { digestOf, signVerified } from '../issuance/signing.js';
import { backdateMilliseconds } from '../issuance/validity.js';
import type { CaObserver } from '../observer.js';
import type { CrlRecord, CrlScope, CrlStore } from '../store/crl-store.js';
import type { EntryQuery, RevocationStore } from '../store/revocation-store.js';
import { type CrlContent, CrlDraft } from './crl.js';
import { crlLocation } from './crl-location.js';
import { lintCrl } from './crl-rules.js';
import { soundEntry } from './sound-entry.js';
import { type PublishedCrl, StoredCrl } from './stored-crl.js';

export interface CrlContext {
  readonly token: IssuerToken;
  readonly authority: SigningAuthority;
  readonly crls: CrlStore;
  readonly revocations: RevocationStore;
  readonly validityHours: number;
  /** Absent: no delta CRLs. */
  readonly deltaHours?: number;
  /** Without it shards and deltas have no name to be found by, and there are none. */
  readonly publicUrl?: string;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

/** No CRL takes that long: an older claim was left behind by a process that died. */
const claimMilliseconds = 120_000;

/** Keeps one CRL of an issuer in force: a new one is made when half of the old one's time has passed, or when there is news. */
export class CrlPublisher {
  readonly #stored: StoredCrl;

  constructor(
    private readonly context: CrlContext,
    readonly scope: CrlScope,
  ) {
    this.#stored = new StoredCrl(context.crls, scope);
  }

  /** The newest CRL known here; undefined before the first `refresh`. */
  get current(): PublishedCrl | undefined {
    return this.#stored.current;
  }

  /** Takes over what another replica published. */
  async adopt(): Promise<void> {
    await this.#stored.adopt();
  }

  /** Time for a new one: half over, or of the future, since the clock was wrong when it was made and nobody takes it now. */
  isDue(): boolean {
    if (this.current === undefined) return true;
    const { thisUpdate, nextUpdate } = this.current;
    const now = this.context.now();
    // A little ahead is a second CRL within one second.
    return (
      now.getTime() < thisUpdate.getTime() - backdateMilliseconds ||
      now.getTime() >= (thisUpdate.getTime() + nextUpdate.getTime()) / 2
    );
  }

  /** Whether a certificate of this shard that was told to look below one of these URLs takes the CRL (RFC 5280 §6.3.3 (b)(2)(i)). */
  isNamedBelow(publicUrls: readonly string[]): boolean {
    const { scope } = this;
    if (scope.shard === 0 || this.current === undefined) return true;
    const extensions = extensionsIn(this.current.der);
    return publicUrls.every((url) => extensions.includes(crlLocation(url, { ...scope, kind: 'full' })));
  }

  /** Some status has changed since. */
  async isOutdated(): Promise<boolean> {
    const { revocations } = this.context;
    const { issuerId, shard } = this.scope;
    const newest = await revocations.newestSequence(issuerId, shard === 0 ? undefined : shard);
    return newest > (this.current?.through ?? 0);
  }

  /**
   * number claimed → entries → TBSCertList → lint → digest committed → signed → verified → stored.
   * Nothing of a CRL that was not finished is used again: whoever comes next makes one with the next number.
   * @param isAlone  no other process is at it, so claims are what a dead one left
   */
  async publish(isAlone = false): Promise<void> {
    const { crls, observer, now } = this.context;
    const at = now();
    const number = await crls.claim({ ...this.scope, now: at, claimMilliseconds: isAlone ? 0 : claimMilliseconds });
    // Somebody else is making it, and it is taken over when it is there.
    if (number === undefined) return;
    let committed = false;
    try {
      const { draft, crl, tbs } = await this.#prepare(number, at);
      if (!(await crls.commit(crl))) return;
      committed = true;
      observer.step?.('crl-committed', String(number));
      const signature = await signVerified(this.context.token, this.context.authority, tbs);
      observer.step?.('crl-signed', String(number));
      const der = draft.seal(signature);
      await crls.complete(crl, der);
      observer.step?.('crl-completed', String(number));
      this.#stored.replace({ ...crl, der });
    } finally {
      // Nothing can have been signed, so its number is free again; what fails here is taken over as abandoned.
      if (!committed) await crls.abandon(this.scope.issuerId, number).catch(() => undefined);
    }
  }

  async #prepare(number: number, at: Date): Promise<{ draft: CrlDraft; crl: CrlRecord; tbs: Buffer }> {
    const { authority, crls, revocations } = this.context;
    const { issuerId, shard, kind } = this.scope;
    const base = kind === 'delta' ? await crls.oldestInForce(issuerId, shard, at) : undefined;
    if (kind === 'delta' && base === undefined)
      throw new CaError('ERR_CA_STATE_CONFLICT', 'delta CRL: want a full CRL in force to start from, got none');
    // Read before the entries: whatever has this sequence or a lower one is among them.
    const through = await revocations.newestSequence(issuerId);
    const previous = await crls.newest({ issuerId, shard, kind: 'full' });
    const query = {
      issuerId,
      ...(shard > 0 && { shard }),
      ...(base !== undefined && { since: base.through }),
      notAfterFrom: this.#expiryHorizon(previous, at),
    };
    const draft = new CrlDraft(authority, mostEntries(through, previous, base));
    await this.#addEntries(draft, query, number, at);
    const last = await crls.newest(this.scope);
    const locations = await crls.locations(issuerId);
    const content = this.#contentOf(number, at, draft, locations, base, previous, last);
    const tbs = draft.tbs(content);
    await lintCrl(tbs, { ...content, entries: draft.count });
    const { thisUpdate, nextUpdate, baseNumber } = content;
    const facts = { number, baseNumber, through, entries: draft.count, thisUpdate, nextUpdate };
    return { draft, tbs, crl: { ...this.scope, ...facts, tbsSha256: digestOf(tbs) } };
  }

  /** Rows that are not sound raise one alarm together: there may be many. */
  async #addEntries(draft: CrlDraft, query: EntryQuery, number: number, at: Date): Promise<void> {
    const { revocations, observer } = this.context;
    let [faults, first] = [0, ''];
    const fault = (what: string): void => {
      if (faults === 0) first = what;
      faults += 1;
    };
    for await (const page of revocations.entries(query)) for (const row of page) draft.add(soundEntry(row, at, fault));
    if (faults === 0) return;
    const message = `CRL ${number} of ${query.issuerId}: want sound rows in ca_revocation, got ${faults} faults: ${first}`;
    observer.jobFailed?.('crl', new CaError('ERR_CA_STATE_CONFLICT', message));
  }

  /**
   * An entry leaves once it was on a CRL made after its certificate expired (RFC 5280 §3.3): on the last one, and, should that one
   * not have been on schedule but on demand, for half of a CRL's time.
   */
  #expiryHorizon(previous: CrlRecord | undefined, at: Date): Date {
    const period = at.getTime() - (this.context.validityHours * 3_600_000) / 2;
    return new Date(Math.min(previous?.thisUpdate.getTime() ?? 0, period));
  }

  #contentOf(
    number: number,
    at: Date,
    draft: CrlDraft,
    locations: readonly string[],
    base: CrlRecord | undefined,
    previous: CrlRecord | undefined,
    last: CrlRecord | undefined,
  ): CrlContent {
    const { authority, validityHours, deltaHours = 0, publicUrl } = this.context;
    const backdated = Math.floor((at.getTime() - backdateMilliseconds) / 1000) * 1000;
    // Not before what it tells of. A delta is never of the same second as a full CRL, which would have to have its number (§5.2.3).
    const afterFull = base === undefined || previous === undefined ? 0 : previous.thisUpdate.getTime() + 1000;
    // Later than the last one, or a cache that has that one would not take this one; unless that one is of a wrong clock's future.
    const lastUpdate = last?.thisUpdate.getTime() ?? 0;
    const afterLast = lastUpdate <= at.getTime() + backdateMilliseconds ? lastUpdate + 1000 : 0;
    const from = Math.max(backdated, draft.newestRevocation.getTime(), afterFull, afterLast);
    const hours = base === undefined ? validityHours : deltaHours;
    const { shard } = this.scope;
    return {
      authority,
      number,
      thisUpdate: new Date(from),
      nextUpdate: new Date(from + hours * 3_600_000),
      ...(base !== undefined && { baseNumber: base.number }),
      ...(locations.length > 0 &&
        shard > 0 && { distributionPoints: locations.map((url) => crlLocation(url, { ...this.scope, kind: 'full' })) }),
      ...(publicUrl !== undefined &&
        base === undefined &&
        deltaHours > 0 && { freshest: crlLocation(publicUrl, { ...this.scope, kind: 'delta' }) }),
    };
  }
}

/** Of a delta: what changed since its base; of a full CRL: what was on the previous one, and what changed since. Nothing is known of the first. */
function mostEntries(through: number, previous: CrlRecord | undefined, base: CrlRecord | undefined): number {
  if (base !== undefined) return Math.max(0, through - base.through);
  return previous === undefined ? 0 : Math.max(0, previous.entries + through - previous.through);
}

/** The last of a TBSCertList. */
function extensionsIn(der: Buffer): Buffer {
  const [list] = derElements(der);
  const [tbs] = derElements(list.content);
  return [...derElements(tbs.content)].at(-1)?.raw ?? Buffer.alloc(0);
}
