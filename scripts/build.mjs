// Builds libs in dependency order, then apps: `node scripts/build.mjs [project…]` (names of nest-cli.json; default all).
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const projects = Object.keys(JSON.parse(readFileSync(`${root}/nest-cli.json`, 'utf8')).projects);
const wanted = process.argv.length > 2 ? process.argv.slice(2) : projects;

for (const project of wanted) {
  const { status } = spawnSync(process.execPath, [`${root}/node_modules/@nestjs/cli/bin/nest.js`, 'build', project], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
