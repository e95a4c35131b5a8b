import type { ThrottlerStorage } from '@nestjs/throttler';
import { Windows } from './windows.js';

/** What the throttler counts by source, in bounded memory; its own storage keeps every source it has seen. */
export class SourceWindows implements ThrottlerStorage {
  readonly #windows = new Windows();

  increment(key: string, ttl: number, limit: number): ReturnType<ThrottlerStorage['increment']> {
    const { hits, endsIn } = this.#windows.hit(key, ttl);
    const seconds = Math.ceil(endsIn / 1000);
    return Promise.resolve({
      totalHits: hits,
      timeToExpire: seconds,
      isBlocked: hits > limit,
      timeToBlockExpire: seconds,
    });
  }
}
