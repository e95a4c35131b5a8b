// Builds what has changed: `node scripts/build.mjs [project…]` (names of nest-cli.json, and `native`; default all).
// A project is up to date when its sources, the declarations it compiles against and its own output are, byte for byte,
// what they were after its last successful build; the proof lies under var/build.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { withLock } from './workspace/lock.mjs';
import { root, varDirectory } from './workspace/paths.mjs';
import { run, Stop } from './workspace/stop.mjs';
import { green, line, red } from './workspace/terminal.mjs';

/** tsc takes one core for seconds; two at once is what a small machine bears. */
const atOnce = 2;

await run(async () => {
  const projects = readProjects();
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !projects.has(name));
  if (unknown.length > 0)
    throw new Stop(`build: want names of ${[...projects.keys()].join(', ')}, got ${unknown.join(', ')}.`);
  const results = await inOrder(wanted.length > 0 ? wanted : [...projects.keys()], projects);
  if (results.includes('failed')) throw new Stop('build: failed; what the compiler said is above.');
  const unchanged = results.filter((result) => result === 'unchanged').length;
  line(green('✓'), 'build', `${results.length - unchanged} built, ${unchanged} unchanged`, performance.now());
});

/** What is to be built, from nest-cli.json and each package's own dependencies, and the native addons beside it. */
function readProjects() {
  const { projects } = JSON.parse(readFileSync(join(root, 'nest-cli.json'), 'utf8'));
  const packages = Object.entries(projects).map(([name, { type, root: directory, entryFile = 'index' }]) => {
    const { name: packageName, dependencies = {} } = JSON.parse(
      readFileSync(join(root, directory, 'package.json'), 'utf8'),
    );
    return { name, type, directory: join(root, directory), entryFile, packageName, dependencies };
  });
  const byPackage = new Map(packages.map((project) => [project.packageName, project.name]));
  const built = packages.map(({ name, type, directory, entryFile, dependencies }) => {
    const output = type === 'library' ? join(directory, 'dist') : join(root, 'dist', directory.slice(root.length + 1));
    return [
      name,
      {
        outputs: [output],
        entry: join(output, `${entryFile}.js`),
        inputs: [
          join(directory, 'src'),
          join(directory, 'package.json'),
          join(directory, `tsconfig.${type === 'library' ? 'lib' : 'app'}.json`),
        ],
        needs: Object.keys(dependencies).flatMap((dependency) => byPackage.get(dependency) ?? []),
        command: [join(root, 'node_modules/@nestjs/cli/bin/nest.js'), 'build', name],
      },
    ];
  });
  // It compares sources, headers and compiler itself.
  const outputs = ['hsm', 'tls-offload', 'data-encryption'].map((library) => join(root, 'libs', library, 'prebuilds'));
  const native = { judgesItself: true, inputs: [], outputs, entry: outputs[0], needs: [] };
  return new Map([...built, ['native', { ...native, command: [join(root, 'scripts/build-native.mjs')] }]]);
}

/** Builds each name once those it needs are done, a few at a time. @returns each one's result */
async function inOrder(names, projects) {
  const waiting = new Set(names);
  const done = new Map();
  const worker = async () => {
    for (;;) {
      const ready = [...waiting].find((name) =>
        projects.get(name).needs.every((need) => !names.includes(need) || done.has(need)),
      );
      if (ready !== undefined) {
        waiting.delete(ready);
        const lock = join(varDirectory, 'build', `${ready}.lock`);
        done.set(ready, await withLock(lock, () => build(ready, projects)));
      } else if (waiting.size === 0) return;
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return [...done.values()];
}

/** @returns {Promise<'unchanged' | 'built' | 'failed'>} */
async function build(name, projects) {
  const { inputs, outputs, entry, needs, command, judgesItself = false } = projects.get(name);
  const started = performance.now();
  const stampFile = join(varDirectory, 'build', `${name}.json`);
  const stamp = existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : { sources: [] };
  const declarations = needs.flatMap((need) =>
    projects
      .get(need)
      .outputs.flatMap(filesUnder)
      .filter((file) => file.endsWith('.d.ts')),
  );
  const configuration = ['tsconfig.build.json', 'nest-cli.json', 'package-lock.json'].map((file) => join(root, file));
  const sources = inputs.flatMap(filesUnder).filter((file) => !/\.(full-)?spec\.ts$/.test(file));
  const inputDigest = digest([...sources, ...declarations, ...configuration], process.version);

  const intact = stamp.outputs === digest(outputs.flatMap(filesUnder));
  if (!judgesItself && intact && stamp.inputs === inputDigest) {
    return 'unchanged';
  }
  // An incremental build neither mends what was taken from its output nor removes what a deleted source left there.
  const sourceGone = stamp.sources.some((file) => !existsSync(join(root, file)));
  if (!judgesItself && (!intact || sourceGone)) {
    for (const output of outputs) rmSync(output, { recursive: true, force: true });
  }
  rmSync(stampFile, { force: true });
  if (!(await succeeds(command)) || !existsSync(entry)) {
    line(red('✗'), name, 'failed', performance.now() - started);
    return 'failed';
  }
  mkdirSync(join(varDirectory, 'build'), { recursive: true });
  const proof = {
    inputs: inputDigest,
    outputs: digest(outputs.flatMap(filesUnder)),
    sources: sources.map((file) => relative(root, file)),
  };
  writeFileSync(stampFile, JSON.stringify(proof, undefined, 2));
  if (judgesItself && stamp.outputs === proof.outputs) return 'unchanged';
  line(green('✓'), name, 'built', performance.now() - started);
  return 'built';
}

function succeeds(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  return new Promise((resolve) => {
    child.once('close', (code) => {
      if (code !== 0) process.stderr.write(said);
      resolve(code === 0);
    });
  });
}

/** Every file at or under a path, sorted; none where there is nothing. */
function filesUnder(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  const entries = readdirSync(path, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

function digest(files, ...more) {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.update(more.join('\0')).digest('hex');
}
