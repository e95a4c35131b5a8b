import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const built = (app: string): string =>
  JSON.stringify(pathToFileURL(join('dist', 'apps', app, 'monitoring', 'logger.js')));
const writes = {
  ca: `const { makeLogger } = await import(${built('ca')});
    const logger = makeLogger('info');
    const write = () => logger.info('a line');`,
  'tls-sidecar': `import 'reflect-metadata';
    import { NestFactory } from '@nestjs/core';
    import { Logger } from 'nestjs-pino';
    const { loggerModule } = await import(${built('tls-sidecar')});
    const context = await NestFactory.createApplicationContext(loggerModule('info'), { logger: false });
    const logger = context.get(Logger);
    const write = () => logger.log('a line');`,
};

// The records service is tried whole, in its own suite.
(existsSync('/dev/full') ? describe : describe.skip)('the log of', () => {
  it.each(Object.entries(writes))('%s ends nothing when it cannot be written', (_, code) => {
    const log = openSync('/dev/full', 'w');
    const more = `write(); setTimeout(() => { write(); process.stderr.write('goes on'); process.exit(0); }, 20);`;
    const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code + more], {
      encoding: 'utf8',
      stdio: ['ignore', log, 'pipe'],
      timeout: 60_000,
    });
    closeSync(log);
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: 'goes on' });
  });
});
