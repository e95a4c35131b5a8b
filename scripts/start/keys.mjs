import { join } from 'node:path';
import { configFile, fleetPaths, root } from '../workspace/paths.mjs';
import { bold, green, line, say } from '../workspace/terminal.mjs';
import { applicationOf } from './app-configs.mjs';
import { tool, verify } from './tool.mjs';

const cli = join(root, 'dist/apps/cli/main.js');

/** The project's command line, on the Node.js that runs this. */
export function nestHsm(strings, ...values) {
  const [first, ...rest] = strings;
  return tool(['', ' ', ` ${first}`, ...rest], process.execPath, cli, ...values);
}

export async function listKeys() {
  for (const [role, app] of Object.entries(applicationOf)) {
    const { stdout } = await nestHsm`key list --config ${configFile(app)}`;
    const [header, ...keys] = stdout.trimEnd().split('\n');
    verify(keys.length > 0, `keys in fleet "${role}"`, 'none');
    say(`  ${bold(`fleet "${role}"`)}`);
    for (const row of [header, ...keys]) say(`    ${row}`);
  }
}

/** That both members of each fleet hold the same keys, and that the trail of who used them is whole. */
export async function auditFleets() {
  for (const [role, app] of Object.entries(applicationOf)) {
    await nestHsm`fleet audit --config ${configFile(app)}`;
    line(green('✓'), 'fleet audit', `both members of fleet "${role}" hold the same keys`);
    const { stdout } = await nestHsm`audit verify --json ${fleetPaths(role).audit}`;
    const { chains } = JSON.parse(stdout);
    const records = chains.reduce((sum, chain) => sum + chain.records, 0);
    verify(records > 0, `an audit trail of fleet "${role}"`, 'none');
    line(green('✓'), 'audit verify', `${records} records in ${chains.length} chains, none changed or missing`);
  }
}
