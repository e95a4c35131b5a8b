import type { NewKey } from '../agent/protocol.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { KeySelector } from '../key/key.js';
import {
  type FleetKey,
  type FoundKeys,
  type KeyManagement,
  type MemberKeys,
  notReplicated,
  pollMilliseconds,
  unlessAborted,
} from './key-management.js';

/** Keys of devices that copy them among themselves (CloudHSM, Luna HA): it is verified that they did. */
export class VendorKeys implements KeyManagement {
  constructor(private readonly keys: MemberKeys) {}

  find(selector: KeySelector, options: FleetCallOptions): Promise<FoundKeys> {
    return this.keys.find(selector, options);
  }

  /**
   * Makes a key on one member and waits until the devices have copied it to the others.
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when fewer than `quorum` have it in time; it exists then
   */
  async generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    const giveUpAt = this.keys.giveUpAt(options);
    const made = await this.keys.generateOnOne(key, options);
    // A session object is on one member, and stays there.
    if (key.extractable || this.keys.fleet.members.length === 1) return made;
    for (;;) {
      const deadlineMilliseconds = Math.max(0, giveUpAt - performance.now());
      const { keys } = await this.find({ id: made.id }, { ...options, deadlineMilliseconds });
      const { quorum } = this.keys;
      if (keys.length === 1 && keys[0].members.length >= quorum) return keys[0];
      if (performance.now() + pollMilliseconds > giveUpAt)
        throw notReplicated(made, keys[0]?.members.length ?? 0, quorum);
      await unlessAborted(options);
    }
  }

  /** The devices copy a key before it is known to anybody. */
  usable(keys: readonly FleetKey[]): Promise<readonly FleetKey[]> {
    return Promise.resolve(keys);
  }

  /** Nothing is recorded: whoever has it is found by looking. */
  holders(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  forget(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    // Nothing is ever left unfinished by us.
  }
}
