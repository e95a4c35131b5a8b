/**
 * `starting`: no agent yet. `serving`: takes calls. `probation`: an agent is back after a loss, or the breaker is open, and a
 * probe decides. `down`: its agent was lost and is being replaced. `refused`: no agent will be started any more (a refused
 * PIN), or whoever shares its own says so. `leaving`: drained or closed.
 */
export const memberStates = ['starting', 'serving', 'probation', 'down', 'refused', 'leaving'] as const;
export type MemberState = (typeof memberStates)[number];
