import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { MeasuredServer } from './side.js';

/** A server of ours or of Node's, in a process of its own. */
export class ServerProcess implements MeasuredServer {
  static async start(module: URL, task: object, environment: Record<string, string> = {}): Promise<ServerProcess> {
    const child = fork(fileURLToPath(module), { env: { ...process.env, ...environment } });
    child.send(task);
    return new ServerProcess(child, await answer<{ port: number }>(child));
  }

  readonly port: number;

  private constructor(
    private readonly child: ChildProcess,
    { port }: { port: number },
  ) {
    this.port = port;
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async stop(): Promise<void> {
    this.child.send('stop');
    await once(this.child, 'exit');
  }
}

/** The server's end: starts on the first message, stops when asked. */
export function serve<Task>(start: (task: Task) => Promise<{ port: number; stop: () => Promise<void> | void }>): void {
  process.once('message', (task) => {
    void start(task as Task).then(({ port, stop }) => {
      // A peer may keep sockets of clients that left; nobody waits for those.
      process.once('message', () => void Promise.resolve(stop()).then(() => process.exit(0)));
      process.send?.({ port });
    });
  });
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code, signal]) => {
      throw new Error(`bench: the server ended with ${signal ?? code}`);
    }),
  ])) as [T];
  return message;
}
