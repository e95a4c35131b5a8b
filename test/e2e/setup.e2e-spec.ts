import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Outcome, runProcess, ScratchWorkspace } from '../support/scratch-workspace.js';
import { softHsmModule } from '../support/token.js';

const nobody = 65_534;
const asNobody = process.getuid?.() === 0 ? { uid: nobody } : {};
const programs = ['c++', 'make', 'python3', 'openssl', 'curl', 'sqlite3', 'env', 'sh', 'dirname', 'cat', 'ln', 'true'];

let workspace: ScratchWorkspace;

beforeEach(() => {
  workspace = new ScratchWorkspace();
  chmodSync(workspace.root, 0o777);
  cpSync('package-lock.json', workspace.path('package-lock.json'));
});

afterEach(() => workspace.remove());

/** A PATH with the programs that set-up looks for, less those named; a stub is a shell script of the test. */
function path(missing: readonly string[], stubs: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = programs.filter((name) => !missing.includes(name) && !(name in stubs));
  const directory = workspace.pathWith(Object.fromEntries(kept.map((name) => [name, realProgram(name)])));
  for (const [name, script] of Object.entries(stubs))
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  chmodSync(directory, 0o777);
  return { PATH: directory, BIN: directory, HOME: workspace.root };
}

function realProgram(name: string): string {
  // pyenv and the like put shims in PATH that need more of the environment than a test gives.
  const search = ['/usr/bin', '/bin', '/usr/local/bin', '/opt/homebrew/bin'].map((directory) => join(directory, name));
  return search.find(existsSync) ?? execFileSync('which', [name], { encoding: 'utf8' }).trim();
}

/** One sentence on standard error, exit code 1, no stack. */
function expectStop(outcome: Outcome, sentence: RegExp): void {
  expect(outcome).toMatchObject({ code: 1, signal: null });
  expect(outcome.stderr.trim()).toMatch(sentence);
  expect(outcome.stderr.trim()).toMatch(/^nest-hsm: /);
  expect(outcome.stderr).not.toMatch(/^\s+at /m);
}

describe('set-up says in one sentence what its reader must do, and exits with 1', () => {
  it('without a C++ compiler', async () => {
    const outcome = await workspace.run('setup.mjs', ['--for', 'test'], { env: path(['c++']) });
    expectStop(outcome, /C\/C\+\+ compiler: want one that knows C\+\+20.*got none from "c\+\+": run ".*"\.$/);
  });

  it('without make', async () => {
    expectStop(await workspace.run('setup.mjs', ['--for', 'test'], { env: path(['make']) }), /make: want one/);
  });

  it('when NEST_HSM_PKCS11_MODULE names nothing', async () => {
    const env = { ...path([]), NEST_HSM_PKCS11_MODULE: '/nowhere/module.so' };
    expectStop(
      await workspace.run('setup.mjs', [], { env }),
      /NEST_HSM_PKCS11_MODULE: want .*got "\/nowhere\/module\.so"/,
    );
  });

  it('when something is missing and there is no package manager', async () => {
    expectStop(
      await workspace.run('setup.mjs', [], { env: path(['curl']) }),
      /curl: not on this machine, nor apt-get, dnf, apk or brew/,
    );
  });

  it('when something is missing and this user may not install: sudo is not waited for', async () => {
    const env = path(['curl'], { 'apt-get': 'exit 0', sudo: 'echo "sudo: a password is required" >&2; exit 1' });
    const outcome = await workspace.run('setup.mjs', ['--for', 'start'], { env, ...asNobody });
    expectStop(
      outcome,
      /curl: .*this user may not install: run "sudo apt-get install .* curl", then npm start again\.$/,
    );
  });

  it('when the installation fails', async () => {
    const env = path(['curl'], { 'apt-get': 'test "$1" = --version', sudo: 'exec "$@"' });
    const outcome = await workspace.run('setup.mjs', ['--for', 'test'], { env });
    expectStop(outcome, /curl: could not be installed: run "sudo apt-get install .* curl", then npm test again\.$/);
  });

  it('when npm ci fails', async () => {
    const env = path([], { npm: 'echo "npm error network" >&2; exit 1' });
    const outcome = await workspace.run('setup.mjs', ['--for', 'test'], { env });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toMatch(/nest-hsm: dependencies: npm ci failed; what it said is above\.\n$/);
  });

  it.each([
    ['win32', 'x64'],
    ['linux', 'ia32'],
  ])('on %s %s', async (platform, arch) => {
    const outcome = await evaluate(`import { checkPlatform } from './scripts/workspace/node.mjs';
      import { run } from './scripts/workspace/stop.mjs';
      await run(() => checkPlatform('${platform}', '${arch}'));`);
    expectStop(outcome, /platform: want Linux or macOS on x64 or arm64, got/);
  });

  it("on an old Node.js where the project's own does not run", async () => {
    const outcome = await evaluate(`import { projectNode } from './scripts/workspace/node.mjs';
      import { run } from './scripts/workspace/stop.mjs';
      Object.defineProperty(process, 'version', { value: 'v20.20.2' });
      await run(() => projectNode());`);
    expectStop(
      outcome,
      /Node\.js: want 22\.20 or later, got v20\.20\.2, and the project's own Node\.js 24 does not run here/,
    );
  });
});

describe('set-up', () => {
  it('says which packages it installs and how, and gives the package manager no standard input', async () => {
    const install = `test "$1" = --version || { echo "$@" >> ${workspace.path('apt-calls')}; cat > ${workspace.path('apt-input')}; ln -sf /bin/true "$BIN/curl"; }`;
    // Inside sudo for a user, as it is for root.
    const env = path(['curl'], { 'apt-get': install, sudo: '[ "$1" = -n ] && shift; exec "$@"', npm: 'exit 1' });
    const outcome = await workspace.run('setup.mjs', ['--for', 'test'], { env });
    expect(outcome.stdout).toMatch(/installing curl \(for checking HTTPS\):/);
    expect(outcome.stdout).toMatch(/\$ .*apt-get install -y .* curl\n/);
    expect(readFileSync(workspace.path('apt-calls'), 'utf8')).toMatch(/^update -q\ninstall -y .* curl\n$/);
    expect(readFileSync(workspace.path('apt-input'), 'utf8')).toBe('');
    expect(outcome.stdout).toMatch(/✓ machine +installed curl/);
  });

  it('runs npm ci with blocked install scripts and with headers that need no network', async () => {
    const env = path([], {
      npm: `echo "$@" > ${workspace.path('npm-call')}; echo "$npm_config_nodedir" >> ${workspace.path('npm-call')}; exit 1`,
    });
    await workspace.run('setup.mjs', ['--for', 'test'], { env });
    const [call, nodedir] = readFileSync(workspace.path('npm-call'), 'utf8').split('\n');
    expect(call).toMatch(/^ci --strict-allow-scripts --include=dev --include=optional/);
    if (process.platform === 'linux')
      expect(nodedir).toBe(workspace.path('node_modules', `node-linux-${process.arch}`));
  });

  it('knows an installation that differs from the lock file, whatever the dates', async () => {
    const lock = {
      packages: {
        '': {},
        'node_modules/a': { version: '1.0.0' },
        'node_modules/b': { version: '2.0.0', optional: true },
      },
    };
    workspace.write('package-lock.json', JSON.stringify(lock));
    workspace.write(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
    );
    workspace.write('node_modules/pkcs11js/build/Release/pkcs11.node', '');
    const outdated = () =>
      evaluate(`import { outdated } from './scripts/setup/npm-dependencies.mjs'; console.log(outdated());`);
    expect((await outdated()).stdout).toBe('undefined\n');
    rmSync(workspace.path('node_modules/pkcs11js'), { recursive: true });
    expect((await outdated()).stdout).toBe('pkcs11js is not compiled\n');
    lock.packages['node_modules/a'].version = '1.0.1';
    workspace.write('package-lock.json', JSON.stringify(lock));
    expect((await outdated()).stdout).toBe('node_modules/a is not what package-lock.json says\n');
    rmSync(workspace.path('node_modules'), { recursive: true });
    expect((await outdated()).stdout).toBe('node_modules is not there\n');
  });

  it('does not run twice at once, and takes over from one that has died', async () => {
    workspace.write(`var/run/setup.lock/${process.pid}-a`, '');
    expectStop(
      await workspace.run('setup.mjs', [], { env: path([]) }),
      new RegExp(`a set-up runs already, in process ${process.pid}`),
    );
    rmSync(workspace.path('var/run/setup.lock'), { recursive: true });
    workspace.write('var/run/setup.lock/999999999-a', '');
    expectStop(await workspace.run('setup.mjs', [], { env: path(['make']) }), /make: want one/);
    expect(readdirSync(workspace.path('var/run'))).toEqual([]);
  });

  it('is one process at a time, of several that find the lock of a dead one at once', async () => {
    // Each holder leaves the lock as if it had died, and says when it finds that it was not alone.
    const inTurn = `
      import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
      import { setImmediate as turn } from 'node:timers/promises';
      import { withLock } from './scripts/workspace/lock.mjs';
      const lock = 'var/run/busy.lock';
      for (let round = 0; round < 150; round++) {
        await withLock(lock, async () => {
          writeFileSync('alone', '', { flag: 'wx' });
          await turn();
          rmSync('alone');
          const [entry] = readdirSync(lock);
          renameSync(lock + '/' + entry, lock + '/999999999-' + round + process.pid);
        });
      }`;
    const outcomes = await Promise.all(Array.from({ length: 3 }, () => evaluate(inTurn)));
    expect(outcomes.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      Array.from({ length: 3 }, () => ({ code: 0, stderr: '' })),
    );
  });
});

describe('the tokens', () => {
  const ensureTokens = () =>
    evaluate(`import { ensureTokens, ensureUserToken } from './scripts/setup/tokens.mjs';
      console.log(ensureTokens(process.execPath, '${softHsmModule()}'));
      ensureUserToken();`);

  beforeEach(() => workspace.link('node_modules'));

  const tokens = ['ca-1', 'ca-2', 'tls-1', 'tls-2', 'data-1', 'data-2'];

  it('are initialised once, with PINs of their own that only their owner reads', async () => {
    // What an interrupted set-up leaves is thrown away.
    workspace.write('var/tokens/ca-1.partial/pin', 'half');
    expect((await ensureTokens()).stdout).toBe(`initialised ${tokens.join(', ')} under var/tokens\n`);
    const pins = tokens.map((token) => readFileSync(workspace.path('var/tokens', token, 'pin'), 'utf8').trim());
    expect(new Set(pins).size).toBe(6);
    for (const token of tokens) {
      const directory = workspace.path('var/tokens', token);
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      for (const secret of ['pin', 'so-pin']) expect(statSync(join(directory, secret)).mode & 0o777).toBe(0o600);
      const slots = execFileSync('softhsm2-util', ['--show-slots'], {
        env: { ...process.env, SOFTHSM2_CONF: join(directory, 'softhsm2.conf') },
        encoding: 'utf8',
      });
      expect(slots.match(/Label: +(\S+)/)?.[1]).toBe(token);
    }
    expect((await ensureTokens()).stdout).toBe(`${tokens.join(', ')} under var/tokens\n`);
    expect(readFileSync(workspace.path('var/tokens/ca-1/pin'), 'utf8').trim()).toBe(pins[0]);
  });

  it('come with a token of the user for the CA, as a file and as a header for curl', async () => {
    await ensureTokens();
    const token = readFileSync(workspace.path('var/secrets/user-token'), 'utf8').trim();
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(readFileSync(workspace.path('var/secrets/authorization-header'), 'utf8')).toBe(
      `Authorization: Bearer ${token}\n`,
    );
    for (const name of ['user-token', 'authorization-header'])
      expect(statSync(workspace.path('var/secrets', name)).mode & 0o777).toBe(0o600);
  });

  it('are not half made when the module refuses', async () => {
    const outcome = await evaluate(`import { ensureTokens } from './scripts/setup/tokens.mjs';
      import { run } from './scripts/workspace/stop.mjs';
      await run(() => ensureTokens(process.execPath, '/etc/hostname'));`);
    expectStop(outcome, /token "ca-1": could not be initialised with \/etc\/hostname:/);
    expect(existsSync(workspace.path('var/tokens/ca-1'))).toBe(false);
  });
});

describe('reset', () => {
  it('refuses where it cannot ask', async () => {
    workspace.write('var/tokens/ca/pin', 'secret');
    expectStop(
      await workspace.run('reset.mjs'),
      /reset: asks before it removes, and there is no terminal to ask on: add --yes\.$/,
    );
    expect(existsSync(workspace.path('var/tokens/ca/pin'))).toBe(true);
  });

  it.each([
    ['nest-hsm', 'start'],
    ['a set-up', 'setup'],
  ])('refuses while %s runs', async (what, lock) => {
    workspace.write(`var/run/${lock}.lock/${process.pid}-a`, '');
    expectStop(await workspace.run('reset.mjs', ['--yes']), new RegExp(`${what} runs already, in process \\d+`));
    expect(existsSync(workspace.path(`var/run/${lock}.lock`))).toBe(true);
  });

  it('removes all that was made at run time with --yes, and nothing else', async () => {
    workspace.write('var/tokens/ca/pin', 'secret');
    expect(await workspace.run('reset.mjs', ['--yes'])).toMatchObject({ code: 0 });
    expect(existsSync(workspace.path('var'))).toBe(false);
    expect(existsSync(workspace.path('scripts/reset.mjs'))).toBe(true);
    expect((await workspace.run('reset.mjs', ['--yes'])).stdout).toMatch(/Nothing to remove/);
  });
});

describe('build', () => {
  /** Stands in for the Nest command line: copies the sources of the project it is told to build. */
  const builder = `const { cpSync, existsSync, writeFileSync } = require('node:fs');
    const project = process.argv[3];
    if (existsSync('libs/' + project + '/src/broken.ts')) { console.error('broken.ts: does not compile'); process.exit(1); }
    cpSync('libs/' + project + '/src', 'libs/' + project + '/dist', { recursive: true });
    writeFileSync('libs/' + project + '/dist/index.js', '');`;

  const build = async (...names: string[]): Promise<string[]> => {
    const { stdout, code } = await workspace.run('build.mjs', names);
    expect(code).toBe(0);
    return [...stdout.matchAll(/✓ (\w+) +built/g)]
      .map(([, name]) => name)
      .filter((name) => name !== 'build')
      .sort();
  };

  beforeEach(() => {
    workspace.write('node_modules/@nestjs/cli/bin/nest.js', builder);
    workspace.write(
      'nest-cli.json',
      JSON.stringify({
        projects: { base: { type: 'library', root: 'libs/base' }, top: { type: 'library', root: 'libs/top' } },
      }),
    );
    workspace.write('tsconfig.build.json', '{}');
    for (const [name, dependencies] of Object.entries({ base: {}, top: { '@x/base': '1' } })) {
      workspace.write(`libs/${name}/package.json`, JSON.stringify({ name: `@x/${name}`, dependencies }));
      workspace.write(`libs/${name}/tsconfig.lib.json`, '{}');
      workspace.write(`libs/${name}/src/index.d.ts`, `export const ${name}: 1;`);
      workspace.write(`libs/${name}/src/index.ts`, `export const ${name} = 1;`);
    }
  });

  it('builds what has changed and no more', async () => {
    expect(await build('base', 'top')).toEqual(['base', 'top']);
    expect(await build('base', 'top')).toEqual([]);
    workspace.write('libs/base/src/index.ts', 'export const base = 2;');
    expect(await build('base', 'top')).toEqual(['base']);
    workspace.write('libs/base/src/index.spec.ts', 'a test is not built');
    expect(await build('base', 'top')).toEqual([]);
    workspace.write('libs/base/src/index.d.ts', 'export const base: 2;');
    expect(await build('base', 'top')).toEqual(['base', 'top']);
    workspace.write('package-lock.json', '{}');
    expect(await build('base', 'top')).toEqual(['base', 'top']);
  });

  it('mends an output that was tampered with or lost', async () => {
    await build('base');
    writeFileSync(workspace.path('libs/base/dist/index.ts'), 'tampered');
    expect(await build('base')).toEqual(['base']);
    expect(readFileSync(workspace.path('libs/base/dist/index.ts'), 'utf8')).toBe('export const base = 1;');
    rmSync(workspace.path('libs/base/dist'), { recursive: true });
    expect(await build('base')).toEqual(['base']);
  });

  it('leaves nothing behind of a source that has gone', async () => {
    workspace.write('libs/base/src/gone.ts', '');
    await build('base');
    rmSync(workspace.path('libs/base/src/gone.ts'));
    await build('base');
    expect(existsSync(workspace.path('libs/base/dist/gone.ts'))).toBe(false);
  });

  it('fails with what the compiler said, and tries again the next time', async () => {
    await build('base');
    workspace.write('libs/base/src/broken.ts', '');
    const outcome = await workspace.run('build.mjs', ['base']);
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toMatch(/broken\.ts: does not compile[^]*nest-hsm: build: failed/);
    rmSync(workspace.path('libs/base/src/broken.ts'));
    expect(await build('base')).toEqual(['base']);
  });

  it('knows its projects', async () => {
    expectStop(await workspace.run('build.mjs', ['nosuch']), /build: want names of base, top, native, got nosuch/);
  });
});

/** Runs a few lines that import from the copied scripts. */
function evaluate(source: string): Promise<Outcome> {
  mkdirSync(workspace.root, { recursive: true });
  const file = workspace.path('evaluate.mjs');
  writeFileSync(file, source);
  return runProcess(process.execPath, [file], { cwd: workspace.root });
}
