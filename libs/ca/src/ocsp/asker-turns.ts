import { OcspBusy } from './ocsp-busy.js';

/** Under way for each session of the HSM: what is on the token, and what is looked up, built and verified meanwhile. */
const underWayPerSession = 2;
/** And those who wait for them. */
const waitingPerSession = 16;
/** Whoever has waited so long has asked somebody else by now. */
const patienceMilliseconds = 2_000;

interface Waiting {
  readonly since: number;
  readonly begin: () => void;
  readonly giveUp: (reason: OcspBusy) => void;
}

/**
 * Who of many askers is served next: as much work is under way as keeps the sessions of the HSM busy, and who waits for it takes
 * turns with the other askers, whatever each of them asks for. Those who wait are bounded, and so is what one asker may have of the
 * places: as many as it leaves free. So one that floods waits behind itself alone.
 */
export class AskerTurns {
  #underWay = 0;
  #waiting = 0;
  /** Whose turn is next comes first. */
  readonly #askers = new Map<string, Waiting[]>();

  /**
   * @param sessions  of the HSM now; work goes on, a little, while there is none: one may come back
   * @param now  milliseconds of a clock that never goes back
   */
  constructor(
    private readonly sessions: () => number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @throws {OcspBusy} when there is none */
  assertPlaceFor(asker: string): void {
    if (this.#hasRoom) return;
    const free = waitingPerSession * this.#sessions - this.#waiting;
    if (free <= (this.#askers.get(asker)?.length ?? 0))
      throw new OcspBusy(`OCSP: want an asker who leaves more places free than they have, got ${free} free`);
  }

  /** `assertPlaceFor` comes first. @throws {OcspBusy} when the turn does not come in time; and what `work` throws */
  async take<T>(asker: string, work: () => Promise<T>): Promise<T> {
    if (this.#hasRoom) this.#underWay += 1;
    else await this.#turnOf(asker);
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
      this.#beginNext();
    }
  }

  get #sessions(): number {
    return Math.max(1, this.sessions());
  }

  get #hasRoom(): boolean {
    return this.#underWay < underWayPerSession * this.#sessions;
  }

  #turnOf(asker: string): Promise<void> {
    return new Promise((begin, giveUp) => {
      const own = this.#askers.get(asker) ?? [];
      own.push({ since: this.now(), begin, giveUp });
      this.#askers.set(asker, own);
      this.#waiting += 1;
    });
  }

  #beginNext(): void {
    while (this.#hasRoom && this.#waiting > 0) {
      const { since, begin, giveUp } = this.#shift();
      if (this.now() - since > patienceMilliseconds) {
        giveUp(new OcspBusy(`OCSP: want a turn within ${patienceMilliseconds} ms`));
        continue;
      }
      this.#underWay += 1;
      begin();
    }
  }

  /** The next one of the asker whose turn it is; its next turn comes after everybody else's. */
  #shift(): Waiting {
    const [[asker, own]] = this.#askers;
    const [first] = own.splice(0, 1);
    this.#askers.delete(asker);
    if (own.length > 0) this.#askers.set(asker, own);
    this.#waiting -= 1;
    return first;
  }
}
