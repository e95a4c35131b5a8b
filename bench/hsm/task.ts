import type { HsmConfig } from '@nest-hsm/hsm';

/** What a contender of this bench is asked to do: sign, and say what it cost. */
export interface SigningTask {
  readonly config: HsmConfig;
  /** What the peer needs to reach the same token. */
  readonly token: { readonly module: string; readonly label: string; readonly pinFile: string };
  /** And the label of the key. */
  readonly algorithm: 'ec' | 'rsa';
  readonly callers: number;
  readonly seconds: number;
}

export interface SigningResult {
  readonly signaturesPerSecond: number;
  /** Of the application's process alone. */
  readonly cpuMicrosecondsPerSignature: number;
  /** Of all threads of the token's agents, the token's own work among them; 0 without agents. */
  readonly agentCpuMicrosecondsPerSignature: number;
  /** Of these: of the threads that run JavaScript, and of the others, nearly all of whose work is the token's. */
  readonly agentMainCpuMicrosecondsPerSignature: number;
  readonly tokenCpuMicrosecondsPerSignature: number;
  /** Resident memory of one agent; NaN without agents. */
  readonly agentMegabytes: number;
  /** 99th percentile of how late the application's event loop ran, in milliseconds. */
  readonly loopDelayP99Milliseconds: number;
}
