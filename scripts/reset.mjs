// Removes what was made at run time: tokens with their keys, databases, certificates, logs. Asks first.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { holdLock } from './workspace/lock.mjs';
import { varDirectory } from './workspace/paths.mjs';
import { run, Stop } from './workspace/stop.mjs';
import { say } from './workspace/terminal.mjs';

await run(async () => {
  if (!existsSync(varDirectory)) return say('Nothing to remove: there is no var/.');
  holdLock(join(varDirectory, 'run', 'start.lock'), 'nest-hsm runs');
  holdLock(join(varDirectory, 'run', 'setup.lock'), 'a set-up runs');
  if (!process.argv.includes('--yes') && !(await confirmed())) return say('Nothing was removed.');
  rmSync(varDirectory, { recursive: true, force: true });
  say(`Removed ${varDirectory}.`);
});

async function confirmed() {
  if (!process.stdin.isTTY)
    throw new Stop('reset: asks before it removes, and there is no terminal to ask on: add --yes.');
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  say(`This destroys the tokens and every key in them, the databases and the certificates under ${varDirectory}.`);
  const answer = await terminal.question('Type "reset" to go on: ');
  terminal.close();
  return answer.trim() === 'reset';
}
