/** Who makes calls: one connection of one role. Compared by identity. */
export interface Caller {
  readonly role: object;
}

/** The application of an agent that nobody shares. */
export const soleCaller: Caller = { role: {} };
