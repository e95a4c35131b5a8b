import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { MeasuredServer } from './side.js';

/** A server of ours or of Node's, in a process of its own. */
export class ServerProcess implements MeasuredServer {
  static async start(module: URL, task: object, environment: Record<string, string> = {}): Promise<ServerProcess> {
    const env = { ...process.env, ...environment };
    const child = fork(fileURLToPath(module), { env, execArgv: ['--expose-gc'] });
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

  /** Asks what the server answers beside its work. */
  async ask<Answer>(question: string): Promise<Answer> {
    this.child.send(question);
    return answer<Answer>(this.child);
  }

  async stop(): Promise<void> {
    this.child.send('stop');
    await once(this.child, 'exit');
  }
}

interface Started {
  readonly port: number;
  readonly stop: () => Promise<void> | void;
  /** By question. */
  readonly answers?: Readonly<Record<string, () => Promise<object>>>;
}

/** The server's end: starts on the first message, then answers questions, and stops when asked. */
export function serve<Task>(start: (task: Task) => Promise<Started>): void {
  process.once('message', (task) => {
    void start(task as Task).then(({ port, stop, answers = {} }) => {
      process.on('message', (question: string) => {
        const { [question]: answered } = answers;
        if (answered !== undefined) void answered().then((message) => process.send?.(message));
        // A peer may keep sockets of clients that left; nobody waits for those.
        else void Promise.resolve(stop()).then(() => process.exit(0));
      });
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
