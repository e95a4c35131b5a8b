// Runs the tests: `npm test [-- jest arguments]`; `--full` adds the long ones (soak, sanitizers, kills, every supported Node.js).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { tryLongTierPackages } from './setup/system-packages.mjs';
import { describeNode, handedOver, projectNode } from './workspace/node.mjs';
import { compileCache, root } from './workspace/paths.mjs';
import { run } from './workspace/stop.mjs';
import { say } from './workspace/terminal.mjs';

await run(() => {
  if (handedOver()) return;
  const full = process.argv.includes('--full');
  const passed = process.argv.slice(2).filter((argument) => argument !== '--full');
  say(`\nTests on ${describeNode(projectNode())}`);
  if (full) for (const outcome of tryLongTierPackages()) say(`  ${outcome}`);
  const { status } = spawnSync(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(root, 'node_modules/jest/bin/jest.js'),
      ...['--selectProjects', 'unit', 'e2e', ...(full ? ['full'] : [])],
      ...passed,
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, NODE_COMPILE_CACHE: compileCache } },
  );
  process.exitCode = status ?? 1;
});
