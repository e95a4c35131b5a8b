// Which Node.js things run on. npm may run on the system's (20 or later); the project runs on its own 24.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { bundledNode, npmDependencies } from './paths.mjs';
import { Stop } from './stop.mjs';

/** The first Node.js 22 on OpenSSL 3.5. */
const oldest = [22, 20];

/** @throws {Stop} on a platform where nothing is built or tested */
export function checkPlatform(platform = process.platform, arch = process.arch) {
  const supported = ['linux', 'darwin'].includes(platform) && ['x64', 'arm64'].includes(arch);
  if (!supported) throw new Stop(`platform: want Linux or macOS on x64 or arm64, got ${platform} on ${arch}.`);
}

/**
 * The Node.js that the project runs on: the one npm installed with it (Linux with glibc), else the one that runs this.
 * @returns {{ path: string, version: string, own: boolean }}
 * @throws {Stop} where there is neither
 */
export function projectNode() {
  const version = versionOf(bundledNode);
  if (version) return { path: bundledNode, version, own: true };
  if (isNewEnough(process.version)) return { path: process.execPath, version: process.version, own: false };
  throw new Stop(
    `Node.js: want ${oldest.join('.')} or later, got ${process.version}, and the project's own Node.js 24 does not run here ` +
      '(it is for Linux x64 and arm64 with glibc): install Node.js 24 and try again.',
  );
}

/** Said once at the start of everything that runs. */
export function describeNode({ version, own }) {
  return `Node.js ${version} ${own ? "(the project's own)" : "(the system's)"} on ${process.platform} ${process.arch}`;
}

/**
 * Starts this script again on the project's Node.js when another one runs it (`node scripts/start.mjs` typed by hand;
 * `npm run` puts the project's own first in PATH). @returns true in the process that has handed over
 */
export function handedOver() {
  const { path, version } = projectNode();
  if (version === process.version) return false;
  const child = spawn(path, process.argv.slice(1), { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the child decides, we wait for it.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code) => process.exit(code ?? 1));
  return true;
}

/** How many compilers node-gyp runs at once; each takes some 300 MB. */
export const compilersAtOnce = process.env.JOBS ?? String(Math.min(4, availableParallelism()));

/** Where node-gyp finds the headers without the network: a Node.js installation with include/node. */
export function nodeHeaders() {
  const prefixes = [join(npmDependencies, `node-linux-${process.arch}`), join(process.execPath, '..', '..')];
  // npm lays packages down before it runs install scripts, so the first need not be there yet.
  if (process.platform === 'linux') return prefixes[0];
  return existsSync(join(prefixes[1], 'include', 'node', 'node_api.h')) ? prefixes[1] : undefined;
}

function versionOf(node) {
  const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return status === 0 && isNewEnough(stdout.trim()) ? stdout.trim() : undefined;
}

function isNewEnough(version) {
  const [major, minor] = version.slice(1).split('.').map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}
