const firstMilliseconds = 100;
const longestMilliseconds = 5_000;

/**
 * How long to wait before the next agent is started: not at all the first time, then exponentially longer with jitter, so
 * that many processes whose HSM came back do not log in at the same moment.
 * @param failures  agents lost or not started since one last served for a while; 1 or more
 * @param random  in [0, 1)
 */
export function respawnDelayMilliseconds(failures: number, random = Math.random()): number {
  if (failures <= 1) return 0;
  const ceiling = Math.min(longestMilliseconds, firstMilliseconds * 2 ** (failures - 2));
  return ceiling * (0.5 + random / 2);
}
