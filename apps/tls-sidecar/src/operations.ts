/** What operators do with a sidecar, whether it is one process or several. */
export interface Operations {
  health(): Promise<HealthReport>;
  isReady(): Promise<boolean>;
  /** In Prometheus' text format. */
  metrics(): Promise<string>;
  status(): Promise<object>;
  /**
   * Reads the configuration again and applies it, all or nothing.
   * @throws why it was not applied; everything is as before then
   */
  reload(): Promise<Reloaded>;
  /** Begins to end: no more connections are accepted, those that are open may finish, and the process ends then. */
  drain(): void;
}

export const operationsToken = Symbol('Operations');

export interface HealthReport {
  readonly isUp: boolean;
  readonly report: object;
}

/** What came of reading the configuration again, as paths of settings. */
export interface Reloaded {
  readonly changed: readonly string[];
  readonly awaitingRestart: readonly string[];
}
