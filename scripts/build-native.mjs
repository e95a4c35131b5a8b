// Compiles the native addons: `node scripts/build-native.mjs [--variant OPTIONS LIBRARY DIRECTORY]`. Skips one whose sources,
// headers and compiler are those of its last build; of two runs at once one waits for what the other compiles. Headers come from
// the project's own Node.js, never from the network. With --variant, one is built otherwise in the directory instead, laid out as a
// package for node-gyp-build: OPTIONS are variables of its binding.gyp, e.g. `sanitize=1` (ASAN and UBSAN) or `key_log=1,…`.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { compilersAtOnce, nodeHeaders, projectNode } from './workspace/node.mjs';
import { withLock } from './workspace/lock.mjs';
import { npmDependencies, root, varDirectory } from './workspace/paths.mjs';
import { run, Stop } from './workspace/stop.mjs';

const addons = [
  { library: 'hsm', target: 'token_calls' },
  { library: 'tls-offload', target: 'tls_offload' },
  { library: 'data-encryption', target: 'data_encryption' },
];
const platform = `${process.platform}-${process.arch}`;

await run(async () => {
  const [option, variables = '', library, directory] = process.argv.slice(2);
  const varied = addons.find((addon) => addon.library === library);
  const isVariant = option === '--variant' && varied !== undefined && directory !== undefined;
  if (option !== undefined && !(isVariant && /^\w+=\d+(,\w+=\d+)*$/.test(variables))) {
    const got = process.argv.slice(2).join(' ');
    throw new Stop(`build-native: want nothing or --variant OPTIONS LIBRARY DIRECTORY, got ${got}.`);
  }
  const toolchain = findToolchain();
  if (option !== undefined) return buildVariant(varied, variables.split(','), resolve(directory), toolchain);
  for (const addon of addons) {
    const lock = join(varDirectory, 'build', `addon-${addon.library}.lock`);
    await withLock(lock, () => build(addon, toolchain));
  }
});

/** Builds where the sources are and lays the binary where the package ships it, and where node-gyp-build finds it. */
function build({ library, target }, toolchain) {
  const source = join(root, 'libs', library, 'native');
  const binary = prebuild(join(root, 'libs', library), toolchain);
  const stamp = join(source, 'build', 'stamp');
  const fingerprint = fingerprintOf(source, toolchain);
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint) {
    console.log(`native addon of ${library}: up to date`);
    return;
  }
  console.log(`native addon of ${library}: compiling`);
  compile(source, toolchain);
  install(join(source, 'build', 'Release', `${target}.node`), binary);
  writeFileSync(stamp, fingerprint);
}

function buildVariant({ library, target }, variables, directory, toolchain) {
  const source = join(root, 'libs', library, 'native');
  const copy = join(directory, 'native');
  rmSync(directory, { recursive: true, force: true });
  cpSync(source, copy, { recursive: true, filter: (path) => path !== join(source, 'build') });
  compile(copy, toolchain, ['--', ...variables.map((each) => `-D${each}`)]);
  install(join(copy, 'build', 'Release', `${target}.node`), prebuild(directory, toolchain));
}

/** The name by which node-gyp-build finds the binary of this platform: Node-API, so one serves every Node.js. */
function prebuild(packageDirectory, { libc }) {
  return join(packageDirectory, 'prebuilds', platform, `node.napi.${libc}.node`);
}

function compile(directory, { node, headers }, gypOptions = []) {
  const gyp = join(npmDependencies, 'node-gyp/bin/node-gyp.js');
  const args = [gyp, 'rebuild', '--silent', '--directory', directory, `--nodedir=${headers}`, ...gypOptions];
  const { status, stdout, stderr } = spawnSync(node, args, {
    encoding: 'utf8',
    env: {
      ...process.env,
      // binding.gyp asks `node` where node-addon-api is, from wherever it lies.
      PATH: `${dirname(node)}:${process.env.PATH ?? ''}`,
      NODE_PATH: npmDependencies,
      // A ~/.npmrc or the environment must not send node-gyp elsewhere.
      npm_config_nodedir: headers,
      JOBS: compilersAtOnce,
    },
  });
  if (status === 0) return;
  process.stderr.write(`${stdout}${stderr}`);
  throw new Stop(`native addons: ${directory} did not compile; the compiler's words are above.`);
}

/** Replaces the binary in one step: a running process keeps the one it has mapped. */
function install(built, binary) {
  mkdirSync(dirname(binary), { recursive: true });
  copyFileSync(built, `${binary}.new`);
  renameSync(`${binary}.new`, binary);
}

function findToolchain() {
  const headers = nodeHeaders();
  if (headers === undefined || !existsSync(join(headers, 'include/node/node_api.h'))) {
    throw new Stop('native addons: want Node.js headers (include/node beside its bin), got none.');
  }
  const compiler = process.env.CXX ?? (process.platform === 'darwin' ? 'c++' : 'g++');
  return {
    node: projectNode().path,
    headers,
    compiler: versionOf(compiler, 'a C++ compiler'),
    make: versionOf('make', 'make'),
    python: versionOf(process.env.PYTHON ?? 'python3', 'python3'),
    libc: process.platform === 'linux' && existsSync('/etc/alpine-release') ? 'musl' : 'glibc',
  };
}

function versionOf(command, what) {
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
  if (status === 0) return stdout.split('\n')[0];
  throw new Stop(
    `native addons: want ${what} to compile them, got none (tried ${command}). Debian: apt-get install g++ make python3.`,
  );
}

function fingerprintOf(source, { headers, compiler }) {
  const hash = createHash('sha256').update(`${platform} ${compiler}`);
  const inputs = [
    join(source, 'binding.gyp'),
    ...readdirSync(join(source, 'src'))
      .sort()
      .map((name) => join(source, 'src', name)),
    join(headers, 'include/node/node_version.h'),
    join(npmDependencies, 'node-addon-api/package.json'),
  ];
  for (const path of inputs) hash.update(path.slice(root.length)).update(readFileSync(path));
  return hash.digest('hex');
}
