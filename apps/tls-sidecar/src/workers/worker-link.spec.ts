import { jest } from '@jest/globals';
import type { INestApplicationContext } from '@nestjs/common';
import type { Prepared } from '../serving/sidecar.js';
import { WorkerLink } from './worker-link.js';

describe('a worker', () => {
  it('takes back what it makes ready when it is told so meanwhile', async () => {
    const others = process.listeners('message');
    const link = new WorkerLink();
    const [ask] = process.listeners('message').filter((each) => !others.includes(each));
    process.off('message', ask);
    const send = Object.getOwnPropertyDescriptor(process, 'send');
    Reflect.deleteProperty(process, 'send');
    try {
      let ready: (prepared: Prepared) => void = () => undefined;
      const prepare = (): Promise<Prepared> => new Promise((resolve) => (ready = resolve));
      link.answer({ get: () => ({ prepare }) } as unknown as INestApplicationContext);
      ask({ id: 1, verb: 'prepare', ask: {} }, undefined);
      ask({ id: 2, verb: 'abort', ask: null }, undefined);
      const abort = jest.fn(() => Promise.resolve());
      ready({ changed: [], awaitingRestart: [], commit: () => Promise.resolve(), abort });
      await new Promise((resolve) => setImmediate(resolve));
      expect(abort).toHaveBeenCalledTimes(1);
    } finally {
      if (send !== undefined) Object.defineProperty(process, 'send', send);
    }
  });
});
