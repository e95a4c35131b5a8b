import type { LogOutput } from '@nest-hsm/hsm';
import { LoggerModule } from 'nestjs-pino';

/** JSON lines. Requests of HTTP are monitoring's alone here, and not logged. */
export function loggerModule(level: string, output: LogOutput): ReturnType<typeof LoggerModule.forRoot> {
  // The module's own default matches no route of this Nest version.
  return LoggerModule.forRoot({
    forRoutes: ['{*splat}'],
    pinoHttp: [{ level, autoLogging: false }, output],
  });
}
