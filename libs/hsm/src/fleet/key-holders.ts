import type { KeyId } from '../key/key.js';
import type { Member } from './member.js';

/** A device may still be synchronising: a member is asked again after this time. */
const forgottenAfterMilliseconds = 5_000;
const maximumKeys = 10_000;

/** Which members are known not to hold a key. Nothing is known of most, and any member may be asked for theirs. */
export class KeyHolders {
  readonly #absentUntil = new Map<KeyId, Map<Member, number>>();

  mayHold(member: Member, id: KeyId, now: number): boolean {
    if (this.#absentUntil.size === 0) return true;
    return (this.#absentUntil.get(id)?.get(member) ?? 0) <= now;
  }

  absent(member: Member, id: KeyId, now: number): void {
    if (this.#absentUntil.size >= maximumKeys) this.#absentUntil.clear();
    const members = this.#absentUntil.get(id) ?? new Map<Member, number>();
    members.set(member, now + forgottenAfterMilliseconds);
    this.#absentUntil.set(id, members);
  }

  present(member: Member, id: KeyId): void {
    const members = this.#absentUntil.get(id);
    if (members?.delete(member) === true && members.size === 0) this.#absentUntil.delete(id);
  }

  /** It is no member any more. */
  forget(member: Member): void {
    for (const id of this.#absentUntil.keys()) this.present(member, id);
  }
}
