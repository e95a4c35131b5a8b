// Where things are. All that is made at run time lives under var/.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const varDirectory = join(root, 'var');

/** The tokens of the main job, one per role: a process that may use one has no PIN for the others. */
export const tokenRoles = ['ca', 'tls', 'data'];

/** One directory (0700) per token: SoftHSM's configuration and objects, the PINs (0600), the agent's state. */
export function tokenPaths(role) {
  const directory = join(varDirectory, 'tokens', role);
  return {
    directory,
    softHsmConf: join(directory, 'softhsm2.conf'),
    objects: join(directory, 'objects'),
    pin: join(directory, 'pin'),
    soPin: join(directory, 'so-pin'),
    state: join(directory, 'state'),
    audit: join(varDirectory, 'log', `audit-${role}.jsonl`),
  };
}

export const configFile = (app) => join(varDirectory, 'config', `${app}.yaml`);
export const logFile = (app) => join(varDirectory, 'log', `${app}.log`);
export const databaseFile = (app) => join(varDirectory, 'data', `${app}.sqlite`);
/** The bearer token that the CA asks of who requests a certificate. */
export const setupTokenFile = join(varDirectory, 'secrets', 'setup-token');
/** The same as a header line, so that curl reads it from a file and it is never in an argument list. */
export const authorizationHeaderFile = join(varDirectory, 'secrets', 'authorization-header');
/** What the main job leaves for its user to look at: the request, the certificate, the trust anchor. */
export const outputFile = (name) => join(varDirectory, 'out', name);
export const rootCertificate = outputFile('root.pem');

export const npmDependencies = join(root, 'node_modules');
export const bundledNode = join(npmDependencies, '.bin', 'node');
