import { Batch, type BatchSettings } from './batch.js';
import type { CollectorSettings } from './collector.js';
import { deliver } from './delivery.js';
import { PositionsFile } from './positions.js';

export interface ForwarderSettings extends BatchSettings {
  /** How far the collector is known to have it; made when missing. */
  readonly positionsFile: string;
  readonly collector: CollectorSettings;
}

/**
 * Sends a trail and its checkpoints to a syslog collector, each at least once and in the order of its chain. The trail itself is
 * the spool: while no collector answers nothing is held but the positions.
 */
export class Forwarder {
  readonly #positions: PositionsFile;
  /** Said here, and sent: each once while this process lives. */
  readonly #told = new Set<string>();
  readonly #sent = new Set<string>();
  /** By the last batch. */
  #unread: ReadonlySet<string> = new Set();

  /** @param onAlarm  told what is wrong with the trail, which the collector is told too */
  constructor(
    private readonly settings: ForwarderSettings,
    private readonly onAlarm: (message: string) => void = () => undefined,
  ) {
    this.#positions = new PositionsFile(settings.positionsFile);
  }

  /**
   * Sends one batch of what is new. Processes that share a file of positions take turns.
   * @param signal  aborting ends the connection; what was under way is sent again
   * @returns how many messages the collector has taken; 0 when there was nothing to send
   * @throws {AuditError} ERR_AUDIT_COLLECTOR_UNAVAILABLE: nothing is lost, call again · ERR_AUDIT_TRAIL_UNREADABLE |
   * ERR_AUDIT_CONFIG_INVALID | ERR_AUDIT_FILE_UNUSABLE
   */
  async forward(signal?: AbortSignal): Promise<number> {
    return this.#positions.locked(async () => {
      const known = { alarms: this.#sent, unread: this.#unread };
      const batch = new Batch(this.settings, await this.#positions.read(), known);
      const messages = batch.messages();
      try {
        const first = await messages.next();
        if (first.done === true) return 0;
        await deliver(this.settings.collector, andThen(first.value, messages), signal);
        await this.#positions.write(batch.positions);
        for (const alarm of batch.alarms) this.#sent.add(alarm);
        return batch.count;
      } finally {
        await messages.return();
        this.#unread = batch.unread;
        this.#tell(batch.alarms);
      }
    });
  }

  #tell(alarms: ReadonlySet<string>): void {
    for (const alarm of alarms) {
      if (!this.#told.has(alarm)) this.onAlarm(alarm);
      this.#told.add(alarm);
    }
  }
}

async function* andThen<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield first;
  yield* rest;
}
