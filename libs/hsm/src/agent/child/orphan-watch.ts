/**
 * A thread beside the agent's own. The agent ends by itself when its application is gone, unless a frozen HSM blocks its
 * event loop in a call without an asynchronous form; then nothing but this thread notices. It leaves the agent time to end
 * in good order first, since SoftHSM loses a token when it is killed while it logs in.
 */
import { workerData } from 'node:worker_threads';

const checkMilliseconds = 500;
const graceMilliseconds = 5_000;

const applicationPid = workerData as number;
const watch = setInterval(() => {
  if (process.ppid === applicationPid) return;
  clearInterval(watch);
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMilliseconds);
}, checkMilliseconds);
