import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, setupTokenFile, authorizationHeaderFile, tokenPaths, tokenRoles } from '../workspace/paths.mjs';
import { quietly } from './command.mjs';

/**
 * Initialises the tokens that are not there yet, each in a directory of its own with random PINs.
 * @param node  path of the project's Node.js
 * @param module  path of the PKCS#11 module
 * @returns what was found or done
 */
export function ensureTokens(node, module) {
  const made = tokenRoles.filter((role) => !existsSync(tokenPaths(role).directory));
  for (const role of made) makeToken(node, module, role);
  return made.length > 0
    ? `initialised ${made.join(', ')} under var/tokens`
    : `${tokenRoles.join(', ')} under var/tokens`;
}

/** Whole or not at all: the directory gets its name last, so an interrupted set-up starts this token anew. */
function makeToken(node, module, role) {
  const { directory } = tokenPaths(role);
  const partial = `${directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  for (const path of [partial, join(partial, 'objects'), join(partial, 'state')])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const name of ['pin', 'so-pin']) writeSecret(join(partial, name), `${randomBytes(16).toString('hex')}\n`);
  const conf = join(partial, 'softhsm2.conf');
  writeFileSync(conf, softHsmConf(join(partial, 'objects')));
  quietly(
    node,
    [join(root, 'scripts/setup/initialise-token.mjs'), module, role, join(partial, 'so-pin'), join(partial, 'pin')],
    `token "${role}": could not be initialised with ${module}:`,
    { env: { ...process.env, SOFTHSM2_CONF: conf } },
  );
  writeFileSync(conf, softHsmConf(join(directory, 'objects')));
  renameSync(partial, directory);
}

const softHsmConf = (objects) => `directories.tokendir = ${objects}\nobjectstore.backend = file\nlog.level = ERROR\n`;

/** The bearer token that the CA asks for, and the header line with it that curl reads from a file. */
export function ensureSetupToken() {
  if (existsSync(setupTokenFile) && existsSync(authorizationHeaderFile)) return;
  const token = randomBytes(32).toString('base64url');
  mkdirSync(join(setupTokenFile, '..'), { recursive: true, mode: 0o700 });
  writeSecret(authorizationHeaderFile, `Authorization: Bearer ${token}\n`);
  writeSecret(setupTokenFile, `${token}\n`);
}

function writeSecret(file, content) {
  writeFileSync(file, content, { mode: 0o600 });
}
