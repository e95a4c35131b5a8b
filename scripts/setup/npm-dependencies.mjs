import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compilersAtOnce, nodeHeaders } from '../workspace/node.mjs';
import { npmDependencies, root } from '../workspace/paths.mjs';
import { Stop } from '../workspace/stop.mjs';
import { say } from '../workspace/terminal.mjs';
import { show } from './command.mjs';

/**
 * Makes node_modules what package-lock.json says, with `npm ci` when it is not.
 * @returns what was found or done
 * @throws {Stop} when npm fails
 */
export function ensureNpmDependencies() {
  const reason = outdated();
  if (reason === undefined) return 'as in package-lock.json';
  say(`  dependencies: ${reason}; installing (about a minute):`);
  // --include: NODE_ENV=production would leave out the compiler; npm's own Node.js is the one that started us.
  const args = [
    'ci',
    '--strict-allow-scripts',
    '--include=dev',
    '--include=optional',
    '--loglevel=error',
    '--no-progress',
  ];
  const headers = nodeHeaders();
  const environment = {
    ...process.env,
    JOBS: compilersAtOnce,
    ...(headers && { npm_config_nodedir: headers }),
  };
  if (show([...npmCommand(), ...args], { cwd: root, env: environment }, ['npm', ...args])) return 'installed';
  throw new Stop('dependencies: npm ci failed; what it said is above.');
}

/** @returns why `npm ci` is needed, or undefined: the two lock files are compared entry by entry, not by their dates */
export function outdated() {
  const installedLock = join(npmDependencies, '.package-lock.json');
  if (!existsSync(installedLock)) return 'node_modules is not there';
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedLock, 'utf8')).packages;
  for (const [path, { version, integrity, optional }] of Object.entries(wanted)) {
    if (!path.includes('node_modules/')) continue;
    const found = installed[path];
    if (!found && optional) continue;
    if (!found || found.version !== version || found.integrity !== integrity)
      return `${path} is not what package-lock.json says`;
  }
  // npm records what it laid down; an install script that was interrupted leaves this out.
  if (!existsSync(join(npmDependencies, 'pkcs11js', 'build', 'Release', 'pkcs11.node')))
    return 'pkcs11js is not compiled';
  return undefined;
}

/** The npm that runs this, on the Node.js that it runs on: the one in node_modules is about to be replaced. */
function npmCommand() {
  const { npm_execpath: npm, npm_node_execpath: node } = process.env;
  return npm && node && !node.startsWith(npmDependencies) ? [node, npm] : ['npm'];
}
