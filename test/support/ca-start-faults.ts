import { CaHome, CaService } from './ca-service.js';

/** How the configuration or its surroundings are spoilt, and what the process says before it exits with 1. */
export type StartFault = [string, (home: CaHome) => void | Promise<void>, RegExp[]];

/** A home of the test's own, gone when the test ends, so that a few tests can run at once: a start is mostly loading code. */
export const atHome =
  <Arguments extends unknown[]>(test: (home: CaHome, ...args: Arguments) => Promise<void>) =>
  async (...args: Arguments): Promise<void> => {
    const home = new CaHome();
    try {
      await test(home, ...args);
    } finally {
      home.remove();
    }
  };

/** Each of them is a start of the app, which is mostly loading code: the gate has one of each kind, the full tier the others. */
export function describeStartFaults(faults: readonly StartFault[]): void {
  describe('the CA app says in one paragraph why it cannot start, and exits with 1, for', () => {
    test.concurrent.each(faults)(
      '%s',
      atHome(async (home, _: string, spoil: StartFault[1], messages: RegExp[]) => {
        await spoil(home);
        const service = CaService.spawn(home);
        expect(await service.exited).toEqual({ code: 1, signal: null });
        for (const message of messages) expect(service.stderr).toMatch(message);
        expect(service.stderr).toMatch(/^ca: ERR_/);
        expect(service.stderr).not.toMatch(/\n\s+at /);
        expect(service.stderr + service.stdout).not.toContain(home.token.pin);
      }),
    );
  });
}
