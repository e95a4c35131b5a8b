import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FullDisk } from '../support/full-disk.js';

const built = (...path: string[]): string => JSON.stringify(pathToFileURL(join(process.cwd(), ...path)));
const loggerOf = (app: string): string => built('dist', 'apps', app, 'monitoring', 'logger.js');
/** What each service logs with: `write`, by way of `output`. */
const services = {
  ca: `const { makeLogger } = await import(${loggerOf('ca')});
    const logger = makeLogger('info', output);
    const write = () => logger.info('a line');`,
  'tls-sidecar': `import 'reflect-metadata';
    import { NestFactory } from '@nestjs/core';
    import { Logger } from 'nestjs-pino';
    const { loggerModule } = await import(${loggerOf('tls-sidecar')});
    const context = await NestFactory.createApplicationContext(loggerModule('info', output), { logger: false });
    const logger = context.get(Logger);
    const write = () => logger.log('a line');`,
  records: `import { pino } from 'pino';
    const { loggerOptions } = await import(${loggerOf('records')});
    const [{ level }, stream] = loggerOptions('info', output);
    const logger = pino({ level }, stream);
    const write = () => logger.info('a line');`,
};

const head = `import { LogOutput } from ${built('libs', 'hsm', 'dist', 'index.js')}; const output = new LogOutput();`;
const writesWhatItIsTold = `process.on('message', (lines) => {
  for (const line of lines) output.write(line);
  setTimeout(() => process.send('written'), 1);
});`;
/** More than is kept, and as at the end of a service. */
const script = (service: string): string => `import { spawnSync } from 'node:child_process'; ${service}
  for (let round = 0; round < 10; round++) {
    // Whoever is started with the same output makes it one that is waited for.
    if (round === 1) spawnSync('true', { stdio: 'inherit' });
    for (let line = 0; line < 2_000; line++) write();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await output.flush(10);
  process.stderr.write(String(output.linesLost));
  process.exit(0);`;

async function run(service: string, log: number): Promise<{ code: number; lost: number }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + script(service)], {
    stdio: ['ignore', log, 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const [code] = (await once(child, 'close')) as [number];
  return { code, lost: Number(said) };
}

(process.platform === 'linux' ? describe : describe.skip)('the log of a service', () => {
  it('holds up nothing while nobody reads it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-pipe-'));
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', [path]);
    // One for all three, opened for both so that it has a reader: one who does not read.
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const outcomes = await Promise.all(Object.values(services).map((service) => run(service, pipe)));
    const chunk = Buffer.alloc(1 << 20);
    const bytes = readSync(pipe, chunk);
    closeSync(pipe);
    rmSync(directory, { recursive: true });
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0]);
    for (const { lost } of outcomes) expect(lost).toBeGreaterThan(1_000);
    // Of three processes that share it, and fill it, no line is torn.
    const lines = chunk.toString('utf8', 0, bytes).split('\n').slice(0, -1);
    expect(lines.length).toBeGreaterThan(100);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ msg: 'a line' });
  });

  it('ends nothing when the disk is full', async () => {
    const full = openSync('/dev/full', 'w');
    const { code, lost } = await run("const write = () => output.write('x'.repeat(199) + '\\n');", full);
    closeSync(full);
    expect(code).toBe(0);
    expect(lost).toBeGreaterThan(1_000);
  });

  (FullDisk.isPossible ? it : it.skip)('goes on when the disk has room again', async () => {
    const disk = new FullDisk();
    const path = join(disk.directory, 'log');
    const log = openSync(path, 'w');
    const child = spawn(process.execPath, ['--input-type=module', '-e', head + writesWhatItIsTold], {
      stdio: ['ignore', log, 'inherit', 'ipc'],
    });
    const line = (name: string): string => `${JSON.stringify({ name, filling: 'x'.repeat(1_000) })}\n`;
    const writes = async (...names: string[]): Promise<void> => {
      child.send(names.map(line));
      await once(child, 'message');
    };
    try {
      await writes('before');
      disk.fill();
      await writes('first', 'second');
      disk.empty();
      await writes('after');
      const lines = readFileSync(path, 'utf8').split('\n');
      const whole = lines
        .filter((each) => each.endsWith('}'))
        .map((each) => (JSON.parse(each) as { name: string }).name);
      expect(whole).toEqual(['before', 'first', 'second', 'after']);
    } finally {
      child.kill();
      await once(child, 'close');
      closeSync(log);
      disk.remove();
    }
  });
});
