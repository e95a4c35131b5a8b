/**
 * When something is, in milliseconds by a clock that never goes back and by that of the day. The first may stand still while a machine is
 * suspended, the second may be set: how old something is says whichever has gone on further, so that neither makes it live longer.
 */
export interface Moment {
  readonly monotonic: number;
  readonly day: number;
}

export const longAgo: Moment = { monotonic: -Infinity, day: -Infinity };
export const never: Moment = { monotonic: Infinity, day: Infinity };

export function thisMoment(): Moment {
  return { monotonic: performance.now(), day: Date.now() };
}

export function later({ monotonic, day }: Moment, milliseconds: number): Moment {
  return { monotonic: monotonic + milliseconds, day: day + milliseconds };
}

export function earlier(left: Moment, right: Moment): Moment {
  return { monotonic: Math.min(left.monotonic, right.monotonic), day: Math.min(left.day, right.day) };
}

/** Whether a moment has come by either clock. */
export function hasCome({ monotonic, day }: Moment, now: Moment = thisMoment()): boolean {
  return now.monotonic >= monotonic || now.day >= day;
}

/** Milliseconds since then. */
export function elapsedSince({ monotonic, day }: Moment, now: Moment = thisMoment()): number {
  return Math.max(now.monotonic - monotonic, now.day - day);
}
