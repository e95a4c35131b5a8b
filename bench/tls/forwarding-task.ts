/** What a forwarding server of this bench is asked to do; its key is in a file, since no signature is measured. */
export interface ForwarderTask {
  /** PEM, leaf only. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly upstreamPort: number;
}

export interface TransferTask {
  readonly port: number;
  /** PEM of the one trusted root. */
  readonly rootFile: string;
  readonly direction: 'down' | 'up';
  readonly bytes: number;
}

export interface IdleTask {
  readonly port: number;
  readonly rootFile: string;
  readonly connections: number;
}
