/** Four buckets an octave, from 1/16 ms to 4 s: a percentile is right to a fifth. */
const bucketsAnOctave = 4;
const octaves = 16;
const smallestMilliseconds = 1 / 16;
/** How many samples the percentiles that are kept may lag behind. */
const lag = 16;
/** Of which fraction of the calls it is said that they were quick. */
const quickFraction = 0.05;

/** A window of recent latencies, whose percentiles cost nothing to keep and little to ask. */
export class LatencyWindow {
  readonly #counts = new Float64Array(bucketsAnOctave * octaves);
  #samples = 0;
  #median: number | undefined;
  #quick: number | undefined;
  #untilKept = 0;

  /** @param memorySamples  after so many samples the old ones weigh half */
  constructor(private readonly memorySamples: number) {}

  /** In milliseconds; undefined without samples. */
  get median(): number | undefined {
    return this.#median;
  }

  /** Hardly any call took less: one of twenty at most. In milliseconds; undefined without samples. */
  get quick(): number | undefined {
    return this.#quick;
  }

  add(milliseconds: number): void {
    const bucket = Math.floor(Math.log2(milliseconds / smallestMilliseconds) * bucketsAnOctave);
    this.#counts[Math.min(Math.max(bucket, 0), this.#counts.length - 1)]++;
    this.#samples++;
    if (--this.#untilKept <= 0) {
      this.#untilKept = Math.min(this.#samples, lag);
      this.#median = this.percentile(0.5);
      // The lower edge of its bucket.
      this.#quick = (this.percentile(quickFraction) ?? 0) / 2 ** (1 / bucketsAnOctave);
    }
    if (this.#samples < this.memorySamples) return;
    this.#samples = 0;
    for (let each = 0; each < this.#counts.length; each++) {
      this.#counts[each] /= 2;
      this.#samples += this.#counts[each];
    }
  }

  /** @returns the upper edge in milliseconds of the bucket that holds it; undefined without samples */
  percentile(fraction: number): number | undefined {
    let left = this.#samples * fraction;
    if (left === 0) return undefined;
    let bucket = 0;
    while (bucket < this.#counts.length - 1 && (left -= this.#counts[bucket]) > 0) bucket++;
    return smallestMilliseconds * 2 ** ((bucket + 1) / bucketsAnOctave);
  }

  /** Forgets everything: what was measured is no longer true. */
  clear(): void {
    this.#counts.fill(0);
    this.#samples = this.#untilKept = 0;
    this.#median = this.#quick = undefined;
  }
}
