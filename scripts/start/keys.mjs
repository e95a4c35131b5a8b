import { join } from 'node:path';
import { configFile, root } from '../workspace/paths.mjs';
import { bold, say } from '../workspace/terminal.mjs';
import { tool, verify } from './tool.mjs';

const cli = join(root, 'dist/apps/cli/main.js');
const holders = { ca: 'ca', tls: 'tls-sidecar', data: 'records' };

/** The project's command line, on the Node.js that runs this. */
export function nestHsm(strings, ...values) {
  const [first, ...rest] = strings;
  return tool(['', ' ', ` ${first}`, ...rest], process.execPath, cli, ...values);
}

export async function listKeys() {
  for (const [token, app] of Object.entries(holders)) {
    const { stdout } = await nestHsm`key list --config ${configFile(app)}`;
    const [header, ...keys] = stdout.trimEnd().split('\n');
    verify(keys.length > 0, `keys in token "${token}"`, 'none');
    say(`  ${bold(`token "${token}"`)}`);
    for (const row of [header, ...keys]) say(`    ${row}`);
  }
}
