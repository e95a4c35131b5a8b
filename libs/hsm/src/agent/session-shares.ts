import { type TrafficClass, trafficClasses } from './traffic-class.js';

/** Of eight sessions, when every class could use them all. */
const weights: Readonly<Record<TrafficClass, number>> = { interactive: 4, data: 2, issuance: 1, management: 1 };

/**
 * Whose turn it is to have a session: of the classes that wait, the one that has the fewest for its weight, and of several that
 * have as few, the one that got its last one the longest ago. So a class that has none is next, whatever waits besides, and what
 * one does not want is the others'. Sessions are shared, and not calls: the token spends a millisecond on one and seconds on another.
 */
export class SessionShares {
  readonly #inUse = { interactive: 0, data: 0, issuance: 0, management: 0 };
  readonly #takenAt = { interactive: 0, data: 0, issuance: 0, management: 0 };
  #taken = 0;
  #held = 0;

  /** Sessions that calls of all classes have now. */
  get held(): number {
    return this.#held;
  }

  /** A call of that class has a session; `give` follows. */
  take(trafficClass: TrafficClass): void {
    this.#held++;
    this.#inUse[trafficClass]++;
    this.#takenAt[trafficClass] = ++this.#taken;
  }

  give(trafficClass: TrafficClass): void {
    this.#held--;
    this.#inUse[trafficClass]--;
  }

  /** @returns undefined when no class waits */
  next(waits: (trafficClass: TrafficClass) => boolean): TrafficClass | undefined {
    let next: TrafficClass | undefined;
    for (const each of trafficClasses) {
      if (waits(each) && (next === undefined || this.#isBefore(each, next))) next = each;
    }
    return next;
  }

  #isBefore(one: TrafficClass, other: TrafficClass): boolean {
    const lead = this.#inUse[other] / weights[other] - this.#inUse[one] / weights[one];
    return lead > 0 || (lead === 0 && this.#takenAt[one] < this.#takenAt[other]);
  }
}
