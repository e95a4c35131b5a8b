import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allTokens, root, authorizationHeaderFile, tokenPaths, userTokenFile } from '../workspace/paths.mjs';
import { quietly } from './command.mjs';

/**
 * Initialises the tokens that are not there yet, each in a directory of its own with random PINs.
 * @param node  path of the project's Node.js
 * @param module  path of the PKCS#11 module
 * @returns what was found or done
 */
export function ensureTokens(node, module) {
  const made = allTokens.filter((label) =>
    ensureToken({ node, module, label, directory: tokenPaths(label).directory }),
  );
  return made.length > 0
    ? `initialised ${made.join(', ')} under var/tokens`
    : `${allTokens.join(', ')} under var/tokens`;
}

/**
 * One SoftHSM token in a directory, whole or not at all: the directory gets its name last, so that an interrupted set-up
 * starts the token anew.
 * @param usedAt  where its user sees the directory, if that is not where it is made (a container's volume)
 * @returns false when it was there
 */
export function ensureToken({ node, module, label, directory, usedAt = directory }) {
  if (existsSync(directory)) return false;
  const partial = `${directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  for (const path of [partial, join(partial, 'objects'), join(partial, 'state')])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const name of ['pin', 'so-pin']) writeSecret(join(partial, name), randomBytes(16).toString('hex'));
  const conf = join(partial, 'softhsm2.conf');
  writeFileSync(conf, softHsmConf(join(partial, 'objects')));
  quietly(
    node,
    [join(root, 'scripts/setup/initialise-token.mjs'), module, label, join(partial, 'so-pin'), join(partial, 'pin')],
    `token "${label}": could not be initialised with ${module}:`,
    { env: { ...process.env, SOFTHSM2_CONF: conf } },
  );
  writeFileSync(conf, softHsmConf(join(usedAt, 'objects')));
  renameSync(partial, directory);
  return true;
}

const softHsmConf = (objects) => `directories.tokendir = ${objects}\nobjectstore.backend = file\nlog.level = ERROR\n`;

/** The bearer token with which the user asks the CA for certificates, and the header line with it that curl reads from a file. */
export function ensureUserToken() {
  if (existsSync(userTokenFile) && existsSync(authorizationHeaderFile)) return;
  const token = randomSecret();
  mkdirSync(join(userTokenFile, '..'), { recursive: true, mode: 0o700 });
  writeSecret(authorizationHeaderFile, `Authorization: Bearer ${token}`);
  writeSecret(userTokenFile, token);
}

/** 256 random bits that need no quoting anywhere. */
export const randomSecret = () => randomBytes(32).toString('base64url');

/** One line that only its owner reads; whole or not there at all, since what is there is kept. */
export function writeSecret(file, line, mode = 0o600) {
  const partial = `${file}.partial`;
  rmSync(partial, { force: true });
  writeFileSync(partial, `${line}\n`, { mode, flag: 'wx' });
  renameSync(partial, file);
}
