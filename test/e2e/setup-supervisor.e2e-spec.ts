import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { eventually } from '../support/eventually.js';
import { type Outcome, runProcess, ScratchWorkspace } from '../support/scratch-workspace.js';
import { freePort } from '../support/server-process.js';

let workspace: ScratchWorkspace;

beforeEach(() => (workspace = new ScratchWorkspace()));
afterEach(() => workspace.remove());

/** An application that serves its health page, writes down who it is, and does what the test says besides. */
const application = (more: string) => `
  import { createServer } from 'node:http';
  import { spawn } from 'node:child_process';
  import { writeFileSync } from 'node:fs';
  const note = (name, pid) => writeFileSync('${workspaceFile('')}/' + name + '.pid', String(pid));
  note('app', process.pid);
  const server = createServer((_, answer) => answer.end('ok'));
  server.listen(Number(process.env.PORT), '127.0.0.1');
  ${more}`;

/** What a supervisor does, from the copied scripts. */
const supervisor = (more: string) => `
  import { Application } from './scripts/start/application.mjs';
  import { run } from './scripts/workspace/stop.mjs';
  const application = new Application('app', 'the app', { stopMilliseconds: 300 });
  const start = () => application.start('http://127.0.0.1:' + process.env.PORT + '/', (stop) => console.log('UNEXPECTED ' + stop.message));
  await run(async () => { ${more} });`;

const workspaceFile = (name: string) => workspace.path(name);

async function supervise(source: string): Promise<Outcome> {
  return runProcess(process.execPath, [write(source)], {
    cwd: workspace.root,
    env: { ...process.env, PORT: String(await freePort()) },
  });
}

function write(source: string): string {
  workspace.write('supervise.mjs', source);
  return workspaceFile('supervise.mjs');
}

const pidOf = (name: string) => Number(readFileSync(workspaceFile(`${name}.pid`), 'utf8'));

function isAlive(name: string): boolean {
  const pid = pidOf(name);
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('an application under the supervisor', () => {
  it('is started, served and ended, with what it started itself', async () => {
    workspace.write(
      'dist/apps/app/main.js',
      application(
        `const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']); note('child', child.pid);`,
      ),
    );
    const outcome = await supervise(supervisor('await start(); console.log("up"); await application.stop();'));
    expect(outcome).toMatchObject({ code: 0, stdout: 'up\n', stderr: '' });
    expect([pidOf('app'), pidOf('child')]).toEqual([expect.any(Number), expect.any(Number)]);
    expect(isAlive('app')).toBe(false);
    // Its parent has gone: the system collects it.
    await eventually(() => !isAlive('child'));
  });

  it('is killed when it does not end', async () => {
    workspace.write('dist/apps/app/main.js', application(`process.on('SIGTERM', () => {});`));
    const outcome = await supervise(supervisor('await start(); await application.stop(); console.log("stopped");'));
    expect(outcome).toMatchObject({ code: 0, stdout: 'stopped\n' });
    expect(isAlive('app')).toBe(false);
  });

  it('is spoken for by its last words when it does not start', async () => {
    workspace.write(
      'dist/apps/app/main.js',
      `console.log(JSON.stringify({ level: 50, msg: 'cannot start', err: { message: 'database gone' } })); console.error('port taken'); process.exit(3);`,
    );
    const outcome = await supervise(supervisor('await start();'));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(
      /^\nnest-hsm: the app: ended by itself \(exit code 3\)\.\nIts last words, from var\/log\/app\.log:\n {4}cannot start: database gone\n {4}port taken\n$/,
    );
  });

  it('is reported with its last words when it ends later', async () => {
    workspace.write(
      'dist/apps/app/main.js',
      application(`setTimeout(() => { console.log('giving up'); process.kill(process.pid, 'SIGKILL'); }, 300);`),
    );
    const outcome = await supervise(supervisor('await start(); await application.exited;'));
    expect(outcome.stdout).toMatch(/^UNEXPECTED the app: ended by itself \(SIGKILL\)\.\n[^]*giving up\n$/);
  });

  it('ends when its supervisor is killed with SIGKILL', async () => {
    workspace.write('dist/apps/app/main.js', application(''));
    const file = write(supervisor('await start(); console.log("up"); await application.exited;'));
    const env = { ...process.env, PORT: String(await freePort()) };
    const supervising = spawn(process.execPath, [file], {
      cwd: workspace.root,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => supervising.stdout.once('data', resolve));
      expect(isAlive('app')).toBe(true);
    } finally {
      supervising.kill('SIGKILL');
    }
    await eventually(() => !isAlive('app'));
  });
});

describe('ports', () => {
  const choose = `import { choosePorts } from './scripts/start/ports.mjs'; console.log(JSON.stringify(await choosePorts()));`;
  const chosen = async () => {
    const outcome = await runProcess(process.execPath, [write(choose)], { cwd: workspace.root });
    return JSON.parse(outcome.stdout) as { ports: Record<string, number>; taken: string[] };
  };

  it('give way to who holds them, and say who that is', async () => {
    const holder = createServer();
    const held = await new Promise<boolean>((resolve) => {
      holder.once('error', () => resolve(false)).listen(8_440, '127.0.0.1', () => resolve(true));
    });
    try {
      const { ports, taken } = await chosen();
      expect(ports.ca).not.toBe(8_440);
      expect(new Set(Object.values(ports)).size).toBe(4);
      expect(taken[0]).toMatch(new RegExp(`^port 8440 is taken by .+: using ${ports.ca} instead$`));
      if (held && process.platform === 'linux') expect(taken[0]).toContain(`process ${process.pid}`);
    } finally {
      holder.close();
    }
  });
});

describe('npm start', () => {
  it('says so when there was no set-up', async () => {
    const outcome = await workspace.run('start.mjs', ['--once']);
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toMatch(
      /^\nnest-hsm: .*dist\/apps\/ca\/main\.js is not there: use "npm start", which sets up first\.\n$/,
    );
  });

  it('runs once at a time', async () => {
    const tokens = ['ca-1', 'ca-2', 'tls-1', 'tls-2', 'data-1', 'data-2'].map((token) => `var/tokens/${token}/pin`);
    for (const name of ['dist/apps/ca/main.js', ...tokens]) workspace.write(name, '');
    workspace.write(`var/run/start.lock/${process.pid}-a`, '');
    const outcome = await workspace.run('start.mjs', ['--once']);
    expect(outcome.stderr).toMatch(new RegExp(`nest-hsm runs already, in process ${process.pid}`));
  });
});
