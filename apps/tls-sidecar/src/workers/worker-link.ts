import type { INestApplicationContext } from '@nestjs/common';
import { operationsToken } from '../operations.js';
import type { Prepared } from '../serving/sidecar.js';
import type { SidecarOperations } from '../serving/sidecar-operations.js';
import { type Answer, type Calls, type Question, servingMessage, type Verb } from './messages.js';

type Handlers = { readonly [V in Exclude<Verb, 'start'>]: (ask: Calls[V]['ask']) => Promise<Calls[V]['answer']> };

/** A worker's end of what it and the supervisor have to say to each other. */
export class WorkerLink {
  /** What it is to serve. */
  readonly start: Promise<Calls['start']['ask']>;
  #handlers: Handlers | undefined;
  /** What is being made ready, too. */
  #prepared: Promise<Prepared> | undefined;

  constructor() {
    this.start = new Promise((resolve) => {
      process.on('message', (question: Question) => {
        if (typeof question !== 'object' || !('verb' in question)) return;
        if (question.verb === 'start') resolve((question as Question<'start'>).ask);
        else void this.#reply(question as Question<Exclude<Verb, 'start'>>);
      });
    });
  }

  answer(app: INestApplicationContext): void {
    const operations = app.get<SidecarOperations>(operationsToken);
    this.#handlers = {
      health: () => operations.health(),
      isReady: () => operations.isReady(),
      metrics: () => operations.registry.getMetricsAsJSON(),
      status: () => operations.status(),
      prepare: async (config) => {
        this.#prepared = operations.prepare(config);
        await this.#prepared;
        return null;
      },
      commit: () => this.#finish('commit'),
      abort: () => this.#finish('abort'),
    };
  }

  serving(): void {
    process.send?.(servingMessage);
  }

  async #finish(how: 'commit' | 'abort'): Promise<null> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    // One that failed has undone itself, and said so.
    await (await prepared?.catch(() => undefined))?.[how]();
    return null;
  }

  async #reply<V extends Exclude<Verb, 'start'>>({ id, verb, ask }: Question<V>): Promise<void> {
    const reply = (answer: Answer): void => void process.send?.(answer);
    try {
      if (this.#handlers === undefined) throw new Error('want a worker that has started, got one that starts');
      reply({ id, answer: await this.#handlers[verb](ask) });
    } catch (error) {
      const { code, name, message } = error as Error & { code?: string };
      reply({ id, fault: { code: code ?? name, message } });
    }
  }
}
