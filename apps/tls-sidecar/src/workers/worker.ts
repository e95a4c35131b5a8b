import cluster, { type Worker as ClusterWorker } from 'node:cluster';
import { once } from 'node:events';
import { SidecarError } from '../faults.js';
import { type Answer, type Calls, servingMessage, type Verb } from './messages.js';

/** A process that serves, as its supervisor has it. */
export class Worker {
  /** When it serves clients; never, when it ends before. */
  readonly serving: Promise<void>;
  /** How, in words. */
  readonly ended: Promise<string>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #worker: ClusterWorker;
  #count = 0;
  #hasServed = false;

  constructor() {
    this.#worker = cluster.fork();
    this.ended = once(this.#worker, 'exit').then(([code, signal]: (number | string | null)[]) => {
      const fault = { code: 'ERR_SIDECAR_WORKER', message: 'want a worker that goes on, got its end' };
      for (const [id, resolve] of this.#waiting) resolve({ id, fault });
      return signal === null ? `exit ${code}` : String(signal);
    });
    this.serving = new Promise((resolve) => {
      this.#worker.on('message', (message: Answer | typeof servingMessage) => {
        if (message === servingMessage) {
          this.#hasServed = true;
          resolve();
        } else if (typeof message === 'object' && 'id' in message) this.#waiting.get(message.id)?.(message);
      });
    });
    // Its channel breaks when it dies, which `ended` says.
    this.#worker.on('error', () => undefined);
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  get hasServed(): boolean {
    return this.#hasServed;
  }

  get hasEnded(): boolean {
    return this.#worker.isDead();
  }

  tell(verb: 'start', ask: Calls['start']['ask']): void {
    if (this.#worker.isConnected()) this.#worker.send({ id: this.#count++, verb, ask });
  }

  /** @throws {Error} with the worker's code | {SidecarError} ERR_SIDECAR_WORKER when it does not answer in time, or ends */
  async ask<V extends Exclude<Verb, 'start'>>(
    verb: V,
    ask: Calls[V]['ask'],
    timeoutMilliseconds: number,
  ): Promise<Calls[V]['answer']> {
    const id = this.#count++;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Answer>((resolve) => {
      const refuse = (message: string): void => resolve({ id, fault: { code: 'ERR_SIDECAR_WORKER', message } });
      timer = setTimeout(
        () => refuse(`want an answer within ${timeoutMilliseconds} ms, got none`),
        timeoutMilliseconds,
      );
      this.#waiting.set(id, resolve);
      if (!this.#worker.isConnected()) return refuse('want a worker, got the end of one');
      this.#worker.send({ id, verb, ask }, (error) => {
        if (error !== null) refuse(error.message);
      });
    });
    clearTimeout(timer);
    this.#waiting.delete(id);
    if ('answer' in answer) return answer.answer as Calls[V]['answer'];
    const { code, message } = answer.fault;
    if (code === 'ERR_SIDECAR_WORKER') throw new SidecarError(code, `worker ${this.pid}: ${message}`);
    throw Object.assign(new Error(message), { code });
  }

  kill(signal: NodeJS.Signals): void {
    this.#worker.process.kill(signal);
  }
}
