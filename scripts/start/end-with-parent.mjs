// Preloaded into every application (`node --import`): ends it when its supervisor has gone, however it went. Standard
// input is a pipe that only the supervisor holds; the kernel closes it even when the supervisor was killed with SIGKILL.
import { isMainThread } from 'node:worker_threads';

const graceMilliseconds = 5_000;

// A thread is preloaded too, and its standard input is none.
if (isMainThread) {
  process.stdin.once('close', () => {
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.exit(1), graceMilliseconds).unref();
  });
  process.stdin.on('error', () => {});
  process.stdin.resume();
  // Watching must not keep alive an application that has nothing else to do.
  process.stdin.unref?.();
}
