import type { HsmConfig } from '@nest-hsm/hsm';

/** What our server is asked to serve: one certificate whose key is on the token. */
export interface TerminatorTask {
  readonly config: HsmConfig;
  readonly keyLabel: string;
  /** PEM, leaf only. */
  readonly certificateFile: string;
}

/** What Node's own tls is asked to serve: the key is in a PEM file, or behind an engine for OpenSSL. */
export interface NodeTask {
  readonly certificateFile: string;
  readonly key: { readonly file: string } | { readonly engine: string; readonly uri: string };
}

interface ClientTask {
  readonly port: number;
  /** PEM of the one trusted root. */
  readonly rootFile: string;
}

export interface LoadTask extends ClientTask {
  readonly clients: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly handshakesPerSecond: number;
  readonly handshakes: number;
  /** CPU time of the clients for each. */
  readonly clientMicroseconds: number;
}

export interface RequestsTask extends ClientTask {
  readonly seconds: number;
}

export interface RequestsResult {
  readonly p90Milliseconds: number;
  readonly requests: number;
}

export type PersistentTask = LoadTask;

export interface PersistentResult {
  readonly failed: number;
  /** Milliseconds since the epoch, ascending. */
  readonly succeededAt: readonly number[];
}

export interface LeavingTask extends ClientTask {
  readonly connections: number;
}

export interface LeavingResult {
  readonly stayed: number;
  readonly left: number;
}

/** What lives in our server when nobody is connected. */
export interface Residue {
  readonly liveSessions: number;
  readonly pausedJobs: number;
}
