import { perform } from '../harness/process.js';
import { openToken } from './pkcs11js-token.js';
import type { SigningTask } from './task.js';

export interface OneSessionResult {
  readonly signaturesPerSecond: number;
  /** Of the process: nearly all of it the token's. */
  readonly cpuMicrosecondsPerSignature: number;
}

/** What the token itself takes: one session, one thread, one call after the other, and nobody else on it. */
perform<SigningTask, OneSessionResult>((task) => {
  const token = openToken(task, 1);
  const { module, key, mechanism, data, signatureBytes } = token;
  const [session] = token.sessions;
  const signFor = (seconds: number): number => {
    const end = performance.now() + seconds * 1_000;
    let calls = 0;
    for (; performance.now() < end; calls++) {
      module.C_SignInit(session, { mechanism }, key);
      module.C_Sign(session, data, Buffer.alloc(signatureBytes));
    }
    return calls;
  };
  signFor(1);
  const before = process.cpuUsage();
  const start = performance.now();
  const calls = signFor(task.seconds);
  const signaturesPerSecond = (calls / (performance.now() - start)) * 1_000;
  const { user, system } = process.cpuUsage(before);
  module.C_Finalize();
  return Promise.resolve({ signaturesPerSecond, cpuMicrosecondsPerSignature: (user + system) / calls });
});
