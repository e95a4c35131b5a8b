import { SessionShares } from '../session-shares.js';

/** Who makes calls: one connection of one role. Compared by identity. */
export interface Caller {
  readonly role: CallerRole;
}

export interface CallerRole {
  /** What its classes of traffic have of the sessions. */
  readonly shares: SessionShares;
}

/** The application of an agent that nobody shares. */
export const soleCaller: Caller = { role: { shares: new SessionShares() } };
