import { CaError } from '../errors.js';
import type { CrlScope } from '../store/crl-store.js';
import { Coalesced } from './coalesced.js';
import { type CrlContext, CrlPublisher } from './crl-publisher.js';
import { crlCondition, type CrlWatch, watched } from './crl-watch.js';
import type { PublishedCrl } from './stored-crl.js';

export interface IssuerCrlsContext extends CrlContext {
  /** Of new certificates; below 2: all of them name the complete CRL. */
  readonly shards: number;
  /** Between two CRLs on demand. */
  readonly spacingSeconds: number;
  /** Runs work while no other process runs work here. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Every CRL of one issuer: the complete one, its shards, their deltas. */
export class IssuerCrls {
  readonly #publishers = new Map<string, CrlPublisher>();
  readonly #news: Coalesced;
  /** Public URLs below which certificates were told to look for a shard: today's, and each one before. */
  #locations: readonly string[] = [];

  constructor(private readonly context: IssuerCrlsContext) {
    this.#news = new Coalesced(() => this.#publishNews(), context.spacingSeconds * 1000);
  }

  /**
   * Sees to every CRL in force before anybody asks.
   * @throws {CaError} @throws {HsmError} when there is none and none can be made
   */
  async open(): Promise<void> {
    await this.#adopt();
    if (this.#all.every((publisher) => !this.#isDue(publisher))) return;
    // Several processes that start at once make it once, and what a dead one claimed is nobody's.
    await this.context.exclusively(async () => {
      await this.#adopt();
      await this.#publishDue(true);
    });
  }

  /** Takes over what other replicas published, and publishes what nobody did in time. @throws as `open` */
  async takeOver(): Promise<void> {
    await this.#adopt();
    await this.#publish((publisher) => isOverdue(publisher, this.context.now()));
  }

  /** Takes over what other replicas published, and publishes what is due or has news. */
  async refresh(): Promise<void> {
    await this.#adopt();
    await this.#publishDue(false);
    await this.#publishNews();
  }

  /** Makes the next of every CRL, due or not. @throws {CaError} @throws {HsmError} */
  async renew(): Promise<void> {
    await this.#adopt();
    for (const publisher of this.#all) await publisher.publish();
  }

  /** Some status changed: a CRL that says so is made soon. */
  request(): void {
    this.#news.request();
  }

  /** @throws {CaError} ERR_CA_CRL_NOT_FOUND */
  find({ shard, kind }: Omit<CrlScope, 'issuerId'>): PublishedCrl {
    const crl = this.#publishers.get(keyOf(shard, kind))?.current;
    if (crl !== undefined) return crl;
    throw new CaError('ERR_CA_CRL_NOT_FOUND', `CRL: want one of this issuer, got ${kind} of shard ${shard}`);
  }

  watch(now: Date): CrlWatch[] {
    return this.#all.flatMap(({ current }) => (current === undefined ? [] : watched(current, now, false)));
  }

  async close(): Promise<void> {
    await this.#news.close();
  }

  get #all(): CrlPublisher[] {
    return [...this.#publishers.values()];
  }

  async #adopt(): Promise<void> {
    const { crls, authority, shards, deltaHours = 0, publicUrl } = this.context;
    const named = shards > 1 && publicUrl !== undefined ? shards : 0;
    if (named > 0 && publicUrl !== undefined) await crls.addLocation(authority.id, publicUrl);
    this.#locations = await crls.locations(authority.id);
    // A shard that certificates name is kept, even if new ones name others.
    const known = await crls.shards(authority.id);
    const all = new Set([0, ...Array.from({ length: named }, (_, index) => index + 1), ...known]);
    for (const shard of all) {
      this.#ensure(shard, 'full');
      if (deltaHours > 0 && publicUrl !== undefined) this.#ensure(shard, 'delta');
    }
    for (const publisher of this.#all) await publisher.adopt();
  }

  #ensure(shard: number, kind: CrlScope['kind']): void {
    const key = keyOf(shard, kind);
    if (this.#publishers.has(key)) return;
    this.#publishers.set(key, new CrlPublisher(this.context, { issuerId: this.context.authority.id, shard, kind }));
  }

  async #publishDue(isAlone: boolean): Promise<void> {
    await this.#publish((publisher) => this.#isDue(publisher) || this.#isBehindFull(publisher), isAlone);
  }

  /** One that fails keeps no other waiting. */
  async #publish(isWanted: (publisher: CrlPublisher) => boolean, isAlone = false): Promise<void> {
    const failures: unknown[] = [];
    // Looked at one by one: a delta may be behind the full one that was just made.
    for (const publisher of this.#all) {
      if (!isWanted(publisher)) continue;
      try {
        await publisher.publish(isAlone);
      } catch (error) {
        if (publisher.current === undefined || publisher.current.nextUpdate <= this.context.now()) failures.push(error);
        else this.context.observer.jobFailed?.('crl', error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Where there are deltas, they carry the news; the full CRLs are then made on schedule. */
  async #publishNews(): Promise<void> {
    const { observer, deltaHours = 0, publicUrl } = this.context;
    const kind = deltaHours > 0 && publicUrl !== undefined ? 'delta' : 'full';
    for (const publisher of this.#all.filter(({ scope }) => scope.kind === kind)) {
      try {
        if (await publisher.isOutdated()) await publisher.publish();
      } catch (error) {
        // It is tried again with the next news, or the next minute.
        observer.jobFailed?.('crl', error);
      }
    }
  }

  #isDue(publisher: CrlPublisher): boolean {
    return publisher.isDue() || !publisher.isNamedBelow(this.#locations);
  }

  /** A delta older than the full CRL tells its holder nothing. */
  #isBehindFull({ scope, current }: CrlPublisher): boolean {
    const full = this.#publishers.get(keyOf(scope.shard, 'full'))?.current;
    return scope.kind === 'delta' && (current?.number ?? 0) < (full?.number ?? 0);
  }
}

function isOverdue({ current }: CrlPublisher, now: Date): boolean {
  return current === undefined || crlCondition(current, now) !== 'fresh';
}

function keyOf(shard: number, kind: CrlScope['kind']): string {
  return `${shard} ${kind}`;
}
