// The init service of docker-compose.yml: fills each service's own volume with the one token it may use, that token's PIN
// and the secrets it needs, and nothing of the others'. Runs once; what is there is kept.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findPkcs11Module } from './setup/pkcs11-module.mjs';
import { ensureToken, randomSecret, writeSecret } from './setup/tokens.mjs';
import { run, Stop } from './workspace/stop.mjs';
import { say } from './workspace/terminal.mjs';

/** Where the volumes are mounted here, and where each service mounts its own. */
const volumes = process.argv[2] ?? '/init';
const usedAt = '/var/lib/nest-hsm/token';
const services = { ca: 'ca', records: 'data', 'tls-sidecar': 'tls' };

await run(() => {
  const module = findPkcs11Module();
  if (!module) throw new Stop('SoftHSM: want libsofthsm2.so in this image, got none.');
  for (const [service, label] of Object.entries(services)) {
    const made = ensureToken({
      node: process.execPath,
      module,
      label,
      directory: join(volumes, service, 'token'),
      usedAt,
    });
    say(`token ${label} for ${service}: ${made ? 'initialised' : 'kept'}`);
  }
  say(`secrets: ${ensureSecrets() ? 'made' : 'kept'}`);
});

/** All or none: the file that PostgreSQL is made from is written last, and PostgreSQL starts after us. */
function ensureSecrets() {
  const roles = join(volumes, 'postgres', 'roles.sql');
  if (existsSync(roles)) return false;
  const [setupToken, userToken, sidecarToken] = [randomSecret(), randomSecret(), randomSecret()];
  writeSecret(join(volumes, 'ca', 'setup-token'), setupToken);
  writeSecret(join(volumes, 'ca', 'user-token'), userToken);
  writeSecret(join(volumes, 'ca', 'authorization-header'), `Authorization: Bearer ${userToken}`);
  for (const service of ['ca', 'tls-sidecar']) writeSecret(join(volumes, service, 'sidecar-token'), sidecarToken);
  const statements = ['ca', 'records'].flatMap((name) => {
    const password = randomSecret();
    writeSecret(join(volumes, name, 'database-url'), `postgres://${name}:${password}@postgres/${name}`);
    return [
      `CREATE ROLE ${name} LOGIN PASSWORD '${password}';`,
      `CREATE DATABASE ${name} OWNER ${name};`,
      `REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC;`,
    ];
  });
  // This volume belongs to PostgreSQL alone, whose user is not ours.
  writeSecret(join(volumes, 'postgres', 'superuser-password'), randomSecret(), 0o644);
  writeSecret(roles, statements.join('\n'), 0o644);
  return true;
}
