// `npm run bench -- NAME [case…]`: builds what bench/NAME needs, runs it, leaves the results in var/bench/NAME.json. Cases
// are for a bench that can be run in part.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const names = readdirSync(`${root}/bench`).filter((name) => existsSync(`${root}/bench/${name}/main.ts`));
const [name, ...cases] = process.argv.slice(2);
if (!names.includes(name)) {
  console.error(`bench: want one of ${names.join(', ')}, got ${name ?? 'none'}`);
  process.exit(1);
}

const libs = [
  'native',
  'hsm',
  ...({ tls: ['tls-offload'], encryption: ['data-encryption'], ca: ['ca-lib', 'ca'] }[name] ?? []),
];
run('scripts/build.mjs', ...libs);
run('node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json');
run(`var/bench/build/bench/${name}/main.js`, ...cases);

function run(script, ...args) {
  const { status } = spawnSync(process.execPath, [`${root}/${script}`, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      NEST_HSM_BENCH_RESULT: `${root}/var/bench/${name}.json`,
      // What a bench compares with is put here, apart from the product's dependencies.
      NEST_HSM_BENCH_PEERS: `${root}/var/bench/peers`,
    },
  });
  if (status !== 0) process.exit(status ?? 1);
}
