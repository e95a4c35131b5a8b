// `npm run fuzz [-- --minutes 60 --seed 7]`: the parsers under test/fuzz, for as long as it is told; `-t NAME` for one of them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' }, t: { type: 'string', short: 't' } },
});
const { status } = spawnSync(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    join(root, 'node_modules/jest/bin/jest.js'),
    ...['--selectProjects', 'fuzz', ...(values.t === undefined ? [] : ['-t', values.t])],
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(values.minutes !== undefined && { NEST_HSM_FUZZ_MINUTES: values.minutes }),
      ...(values.seed !== undefined && { NEST_HSM_FUZZ_SEED: values.seed }),
    },
  },
);
process.exitCode = status ?? 1;
