import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Runs a contender's module in a process of its own: it gets one task as a message and answers with one result, then ends.
 * So no contender inherits another's heap, thread pool or loaded modules.
 */
export function inProcess<Task extends object, Answer>(
  module: URL,
  task: Task,
  environment: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(module), { env: { ...process.env, ...environment } });
    let answer: Answer | undefined;
    child.on('message', (message) => (answer = message as Answer));
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0 && answer !== undefined) resolve(answer);
      else reject(new Error(`bench: ${module.pathname} ended with ${signal ?? code} and no result`));
    });
    child.send(task);
  });
}

/** The other end of `inProcess`: to be called once by the contender's module. */
export function perform<Task, Answer extends object>(work: (task: Task) => Promise<Answer>): void {
  process.once('message', (task) => {
    void work(task as Task).then((answer) => {
      process.send?.(answer, () => process.disconnect());
    });
  });
}
