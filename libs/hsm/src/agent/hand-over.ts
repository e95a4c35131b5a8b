/**
 * The channel beside the protocol's stream between a shared agent and the process that spawned it: an accepted connection goes
 * one way (Node passes its descriptor with the message), and that it was taken over the other. Nothing else does.
 */
export interface HandedOver {
  /** Whose socket it was accepted on. */
  readonly role: string;
}

export const takenOver = 'taken over';
