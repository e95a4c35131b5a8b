import { perform } from '../harness/process.js';
import { measure } from './measure.js';
import { openToken } from './pkcs11js-token.js';
import type { SigningResult, SigningTask } from './task.js';

/** The peer: the same module inside the application's own process, asynchronous calls, a session for each caller. */
perform<SigningTask, SigningResult>(async (task) => {
  const { module, sessions, key, mechanism, data, signatureBytes } = openToken(task, task.callers);
  const result = await measure(task, (caller) => {
    module.C_SignInit(sessions[caller], { mechanism }, key);
    return module.C_SignAsync(sessions[caller], data, Buffer.alloc(signatureBytes));
  });
  module.C_Finalize();
  return result;
});
