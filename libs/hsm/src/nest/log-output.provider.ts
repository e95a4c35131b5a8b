import type { FactoryProvider, OnApplicationShutdown } from '@nestjs/common';
import { Counter, type Registry } from 'prom-client';
import type { LogOutput } from '../log-output.js';

/** Of what waits for whoever reads it, at the end. */
const flushMilliseconds = 1_000;

/** Counts the lines that a log has lost, and has an application that shuts down write what waits, for a second at most. */
export function provideLogOutput(output: LogOutput, registry: Registry): FactoryProvider<OnApplicationShutdown> {
  return {
    provide: Symbol('LogOutput'),
    useFactory: () => {
      new Counter({
        name: 'nest_hsm_log_lines_lost_total',
        help: 'Lines of the log that could not be written, or that nobody read in time',
        registers: [registry],
        collect() {
          this.reset();
          this.inc(output.linesLost);
        },
      });
      return { onApplicationShutdown: () => output.flush(flushMilliseconds) };
    },
  };
}
