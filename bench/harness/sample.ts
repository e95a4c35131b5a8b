/** What one contender did in one round. */
export interface Sample {
  /** In the unit of the case. */
  readonly value: number;
  /** CPU microseconds of the measured process (user + system) for one operation; absent where it means nothing. */
  readonly cpuMicroseconds?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param share  between 0 and 1 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
