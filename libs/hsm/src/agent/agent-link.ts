import type { Duplex } from 'node:stream';
import type { Hello } from './protocol.js';

/** The way to one agent: a process of our own, or a connection to one that others use too. */
export interface AgentLink {
  /** Carries the protocol. Closing it ends the link. */
  readonly stream: Duplex;
  /** Resolves when the agent is gone, as far as this link has one, and its `epitaph` is complete. */
  readonly exited: Promise<void>;
  /** How it ended, for an error message. */
  readonly epitaph: string;
  /** Ends it at once, hung or not. */
  kill(): void;
}

/** Where one agent after the other comes from. */
export interface AgentSource {
  /** The first message to the next agent. @throws {HsmError} ERR_HSM_PIN_SOURCE | ERR_HSM_CONFIG_INVALID */
  hello(): Promise<Hello>;
  /** @throws {HsmError} ERR_HSM_UNAVAILABLE */
  open(): AgentLink;
  /**
   * Whether somebody else runs the agent: then even a refused PIN is no reason to ask no more, since it costs no second login
   * and nobody would tell us that it was mended.
   */
  readonly isShared: boolean;
}
