// Where things are. All that is made at run time lives under var/.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const varDirectory = join(root, 'var');

/** The fleets of the main job, one per role: a process that may use one has no PIN for the others. */
export const roles = ['ca', 'tls', 'data'];
/** The labels of a role's tokens, each of them a member of its fleet. */
export const tokensOf = (role) => [`${role}-1`, `${role}-2`];
export const allTokens = roles.flatMap(tokensOf);

/** One directory (0700) per token: SoftHSM's configuration and objects, and the PINs (0600). */
export function tokenPaths(token) {
  const directory = join(varDirectory, 'tokens', token);
  return {
    directory,
    softHsmConf: join(directory, 'softhsm2.conf'),
    objects: join(directory, 'objects'),
    pin: join(directory, 'pin'),
    soPin: join(directory, 'so-pin'),
  };
}

/** What a fleet keeps beside its tokens: the agents' state, the keyring, the audit trail, and its members' pinned fingerprints. */
export function fleetPaths(role) {
  const directory = join(varDirectory, 'fleets', role);
  return {
    directory,
    state: join(directory, 'state'),
    keyring: join(directory, 'keyring'),
    audit: join(directory, 'audit'),
    fingerprints: join(directory, 'fingerprints.json'),
  };
}

export const configFile = (app) => join(varDirectory, 'config', `${app}.yaml`);
export const logFile = (app) => join(varDirectory, 'log', `${app}.log`);
export const databaseFile = (app) => join(varDirectory, 'data', `${app}.sqlite`);
/** The token that may make API tokens of the CA; the CA makes it. */
export const setupTokenFile = join(varDirectory, 'secrets', 'setup-token');
/** The bearer tokens of who requests certificates: this machine's user, and the sidecar. */
export const userTokenFile = join(varDirectory, 'secrets', 'user-token');
export const sidecarTokenFile = join(varDirectory, 'secrets', 'sidecar-token');
/** The user's token as a header line, so that curl reads it from a file and it is never in an argument list. */
export const authorizationHeaderFile = join(varDirectory, 'secrets', 'authorization-header');
/** What the main job leaves for its user to look at: the request, the certificate, the trust anchor. */
export const outputFile = (name) => join(varDirectory, 'out', name);
export const rootCertificate = outputFile('root.pem');

/**
 * Where Node.js keeps what it has compiled, for the hundred processes that load the same modules. What is there is run: it is no
 * more for others to write than the code beside it. Token agents, which inherit nothing, have none.
 */
export const compileCache = join(varDirectory, 'cache', 'compiled');

export const npmDependencies = join(root, 'node_modules');
export const bundledNode = join(npmDependencies, '.bin', 'node');
