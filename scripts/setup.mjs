// One command's worth of set-up, run before `npm start` and `npm test`: uses only what Node.js 20 brings, may run on the
// system's own, asks nothing and says what it does. `--for start` also makes the tokens of the main job.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ensureNpmDependencies } from './setup/npm-dependencies.mjs';
import { findPkcs11Module } from './setup/pkcs11-module.mjs';
import { checkCompiler, ensureSystemPackages } from './setup/system-packages.mjs';
import { ensureUserToken, ensureTokens } from './setup/tokens.mjs';
import { holdLock } from './workspace/lock.mjs';
import { checkPlatform, describeNode, projectNode } from './workspace/node.mjs';
import { root, varDirectory } from './workspace/paths.mjs';
import { run, Stop } from './workspace/stop.mjs';
import { bold, green, line, say } from './workspace/terminal.mjs';

const forStart = process.argv.includes('start');

await run(() => {
  checkPlatform();
  say(bold(`\nSet-up`) + ` (with Node.js ${process.version})`);
  holdLock(join(varDirectory, 'run', 'setup.lock'), 'a set-up runs');

  step('machine', () => ensureSystemPackages(forStart ? 'npm start' : 'npm test'));
  step('compiler', checkCompiler);
  step('dependencies', ensureNpmDependencies);
  const node = projectNode();
  step('runs on', () => describeNode(node));
  build(node.path);
  if (!forStart) return;
  step('tokens', () => ensureTokens(node.path, findPkcs11Module()));
  ensureUserToken();
});

/** Does one thing and says in one line what it found or did. */
function step(name, action) {
  const started = performance.now();
  const outcome = action();
  line(green('✓'), name, outcome, performance.now() - started);
}

function build(node) {
  const { status } = spawnSync(node, [join(root, 'scripts/build.mjs')], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Stop('set-up: ends here, because the build failed.');
}
