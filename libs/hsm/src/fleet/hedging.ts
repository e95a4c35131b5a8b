import { LatencyWindow } from './latency.js';

/** A second attempt is made when the first has taken this many times as long as all but a hundredth do. */
const factor = 2;
const percentile = 0.99;
const shortestMilliseconds = 5;
const longestMilliseconds = 500;
/** Until there are samples to speak of. */
const initialMilliseconds = 50;
const memorySamples = 2_000;
const lagSamples = 64;

/** Second attempts per call, and how many may be made at once when a member freezes with calls on it. */
const share = 0.05;
const burst = 64;

/** When a call that takes long is made a second time elsewhere, and how often at most: a fleet that is merely busy is not given more work. */
export class Hedging {
  readonly #latency = new LatencyWindow(memorySamples);
  #delayMilliseconds = initialMilliseconds;
  #untilNext = lagSamples;
  #budget = burst;

  get delayMilliseconds(): number {
    return this.#delayMilliseconds;
  }

  answered(milliseconds: number): void {
    this.#latency.add(milliseconds);
    this.#budget = Math.min(burst, this.#budget + share);
    if (--this.#untilNext > 0) return;
    this.#untilNext = lagSamples;
    const slow = this.#latency.percentile(percentile) ?? initialMilliseconds;
    this.#delayMilliseconds = Math.min(Math.max(slow * factor, shortestMilliseconds), longestMilliseconds);
  }

  /** Takes one second attempt from the budget, if there is one. */
  mayHedge(): boolean {
    if (this.#budget < 1) return false;
    this.#budget--;
    return true;
  }
}
