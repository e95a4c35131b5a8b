import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { loadAddon, type TicketKeys } from './addon.js';
import { parseConfig, type ParsedSessionTicketConfig, sessionLifetimesSchema } from './config.js';
import { TlsOffloadError } from './errors.js';
import { wrappingKeyVersions } from './ticket-wrapping-key.js';
import { TicketKeyDirectory, type TicketKeyStore } from './ticket-key-store.js';

/** What wraps the keys of tickets. `Hsm` of @nest-hsm/hsm is one. */
export interface TicketKeyWrapper {
  random(byteLength: number): Promise<Buffer>;
  encrypt(key: HsmKey, data: Uint8Array, options: { aad: Uint8Array }): Promise<Buffer>;
  decrypt(key: HsmKey, envelope: Uint8Array, options: { aad: Uint8Array }): Promise<Buffer>;
}

export interface SessionTicketOptions {
  readonly hsm: TicketKeyWrapper;
  /** AES-256, usage `encrypt`, the same for all replicas; or how to find its versions, newest first, whenever they are wanted. */
  readonly key: HsmKey | (() => Promise<readonly HsmKey[]>);
  readonly store: TicketKeyStore;
  /** How long a client may come back with a ticket: 10 seconds to 4 hours. Default 4 hours. */
  readonly lifetimeSeconds?: number;
  /**
   * How long after its full handshake a client may do without another, however often its ticket was renewed in between: up to
   * 7 days (RFC 8446 §4.6.1). Default 12 hours.
   */
  readonly sessionSeconds?: number;
  /** Told of each failure; it is tried again. */
  readonly failed?: (error: TlsOffloadError) => void;
}

const nameBytes = 16;
const secretBytes = 32;
/** Name, encryption key, authentication key. */
const keyBytes = nameBytes + 2 * secretBytes;
const retryMilliseconds = 5_000;
const longestRestMilliseconds = 60_000;

export interface SessionTicketStatus {
  /** Whether tickets are given out now. */
  readonly isIssuing: boolean;
  /** Keys that tickets are opened with. */
  readonly keys: number;
  /** Since when keys cannot be brought up to date, and why; absent while they can. */
  readonly failing?: { readonly since: Date; readonly code: string; readonly message: string };
}

/** A key as the addon takes it, and the memory behind it. */
interface OpenKey {
  readonly period: number;
  readonly bytes: Buffer;
}

/**
 * Session resumption (TLS 1.3 only, no early data) across replicas. Time is cut into periods of a ticket's lifetime; each has a
 * key that random bytes of the HSM make, that is wrapped by a key on the HSM (AES-256-GCM) and that lies in a store which the
 * replicas share: the first to write it wins. It is made up to half a period ahead, seals tickets in its own period, opens them in
 * that and the next one, and is then deleted: two and a half periods, 10 hours at most.
 */
export class SessionTickets {
  readonly native: TicketKeys;
  readonly #periodSeconds: number;
  #open: OpenKey[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #refreshing: Promise<void> | undefined;
  #failing: SessionTicketStatus['failing'];

  /** As `open`, with a key that is found by its label, or made where there is none, and with a directory to share. */
  static openConfigured(
    hsm: Hsm,
    { keyLabel, directory, ...lifetimes }: ParsedSessionTicketConfig,
    failed: (error: TlsOffloadError) => void,
  ): Promise<SessionTickets> {
    const store = new TicketKeyDirectory(directory);
    return this.open({ hsm, key: () => wrappingKeyVersions(hsm, keyLabel), store, ...lifetimes, failed });
  }

  /**
   * Returns once there are keys, or when they cannot be had for now: handshakes then go on without tickets.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ADDON_UNUSABLE
   */
  static async open(options: SessionTicketOptions): Promise<SessionTickets> {
    const tickets = new SessionTickets(options);
    await tickets.refresh();
    return tickets;
  }

  private constructor(private readonly options: SessionTicketOptions) {
    const { key, lifetimeSeconds: life, sessionSeconds: session } = options;
    const lifetimes = { lifetimeSeconds: life, sessionSeconds: session };
    const { lifetimeSeconds, sessionSeconds } = parseConfig(sessionLifetimesSchema, 'session tickets', lifetimes);
    if (typeof key !== 'function') checkUsage(key);
    this.#periodSeconds = lifetimeSeconds;
    this.native = new (loadAddon().TicketKeys)(lifetimeSeconds, sessionSeconds);
  }

  get status(): SessionTicketStatus {
    const now = this.#periodAt(Date.now());
    const keys = this.#open.filter(({ period }) => period >= now - 1);
    return { isIssuing: keys.some(({ period }) => period === now), keys: keys.length, failing: this.#failing };
  }

  /** Brings the keys up to date, as is done by itself all the time. Never rejects. */
  async refresh(): Promise<void> {
    await (this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined)));
  }

  /** Forgets the keys. Those in the store stay, for the other replicas. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#refreshing;
    this.#take([]);
  }

  async #refresh(): Promise<void> {
    clearTimeout(this.#timer);
    let rest = Math.min((this.#periodSeconds * 1000) / 8, longestRestMilliseconds);
    try {
      await this.#update();
      this.#failing = undefined;
    } catch (cause) {
      rest = Math.min(rest, retryMilliseconds);
      const message = `session tickets: want keys from store and HSM, got ${(cause as Error).message}`;
      const error = new TlsOffloadError('ERR_TLS_OFFLOAD_TICKET_KEYS', message, { cause });
      this.#failing = { since: this.#failing?.since ?? new Date(), code: error.code, message };
      this.options.failed?.(error);
    }
    // Between half and all of it, so that replicas do not come in step.
    const wait = rest * (0.5 + Math.random() / 2);
    if (!this.#closed) this.#timer = setTimeout(() => void this.refresh(), wait).unref();
  }

  async #update(): Promise<void> {
    const { store } = this.options;
    const now = Date.now();
    const current = this.#periodAt(now);
    // The addon itself goes by the time; here the memory is given up.
    this.#take(this.#open.filter(({ period }) => period >= current - 1));
    await store.removeBefore(this.#periodSeconds, current - 1);
    const wanted = [current, this.#periodAt(now + (this.#periodSeconds * 1000) / 2)];
    const versions = this.#newVersions();
    let stored = await store.read(this.#periodSeconds);
    for (const period of new Set(wanted)) {
      if (stored.some((key) => key.period === period)) continue;
      await store.add(this.#periodSeconds, { period, wrapped: await this.#makeKey(period, await versions()) });
      stored = await store.read(this.#periodSeconds);
    }
    const open: OpenKey[] = [...this.#open];
    const faults: unknown[] = [];
    try {
      for (const { period, wrapped } of stored) {
        const isOpen = open.some((key) => key.period === period);
        if (isOpen || period < current - 1 || period > current + 1) continue;
        try {
          open.push({ period, bytes: await this.#unwrap(period, wrapped, await versions()) });
        } catch (error) {
          // One that is spoilt keeps nobody from the others.
          faults.push(error);
        }
      }
      if (faults.length > 0) throw faults[0];
    } finally {
      // Those that could be unwrapped are of use even where another could not.
      this.#take(this.#closed ? [] : open);
      if (this.#closed) for (const { bytes } of open) bytes.fill(0);
    }
  }

  /** Asked once, and only when a key is to be wrapped or unwrapped. */
  #newVersions(): () => Promise<readonly HsmKey[]> {
    const { key } = this.options;
    if (typeof key !== 'function') return () => Promise.resolve([key]);
    let found: Promise<readonly HsmKey[]> | undefined;
    return () => (found ??= key());
  }

  async #makeKey(period: number, [newest]: readonly HsmKey[]): Promise<Buffer> {
    const { hsm } = this.options;
    checkUsage(newest);
    const bytes = await hsm.random(keyBytes);
    try {
      return await hsm.encrypt(newest, bytes, { aad: this.#associatedData(period) });
    } finally {
      bytes.fill(0);
    }
  }

  async #unwrap(period: number, wrapped: Uint8Array, versions: readonly HsmKey[]): Promise<Buffer> {
    const bytes = await this.#decrypt(wrapped, versions, { aad: this.#associatedData(period) });
    if (bytes.length === keyBytes) return bytes;
    bytes.fill(0);
    throw new Error(`want ${keyBytes} bytes in the key of period ${period}, got ${bytes.length}`);
  }

  /** It may have been wrapped before the wrapping key was rotated. */
  async #decrypt(wrapped: Uint8Array, versions: readonly HsmKey[], options: { aad: Uint8Array }): Promise<Buffer> {
    const [newest, ...older] = versions;
    try {
      return await this.options.hsm.decrypt(newest, wrapped, options);
    } catch (error) {
      const isOfAnother = (error as { code?: string }).code === 'ERR_HSM_DECRYPTION_FAILED';
      if (!isOfAnother || older.length === 0) throw error;
      return this.#decrypt(wrapped, older, options);
    }
  }

  /** A key is of no use for another purpose, nor in another period than its own. */
  #associatedData(period: number): Buffer {
    return Buffer.from(`nest-hsm tls session ticket key v1\0${this.#periodSeconds}\0${period}`);
  }

  /** Makes these the keys, and zeroes the others. */
  #take(keys: OpenKey[]): void {
    const seconds = this.#periodSeconds;
    this.native.set(
      keys.map(({ period, bytes }) => ({
        name: bytes.subarray(0, nameBytes),
        encryption: bytes.subarray(nameBytes, nameBytes + secretBytes),
        authentication: bytes.subarray(nameBytes + secretBytes),
        issueFrom: period * seconds,
        issueUntil: (period + 1) * seconds,
        acceptUntil: (period + 2) * seconds,
      })),
    );
    for (const { bytes } of this.#open.filter((key) => !keys.includes(key))) bytes.fill(0);
    this.#open = keys;
  }

  #periodAt(milliseconds: number): number {
    return Math.floor(milliseconds / 1000 / this.#periodSeconds);
  }
}

function checkUsage({ label, usage }: HsmKey): void {
  if (usage === 'encrypt') return;
  const message = `session tickets: want a key that encrypts, got ${label}, which is to ${usage}`;
  throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message);
}
