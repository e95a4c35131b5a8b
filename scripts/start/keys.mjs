import { join } from 'node:path';
import { configFile, root } from '../workspace/paths.mjs';
import { bold, say } from '../workspace/terminal.mjs';
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
