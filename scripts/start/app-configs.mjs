// The applications' configuration for the main job, written anew at each start because the ports may differ.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  configFile,
  databaseFile,
  fleetPaths,
  logFile,
  setupTokenFile,
  sidecarTokenFile,
  tokenPaths,
  tokensOf,
  userTokenFile,
} from '../workspace/paths.mjs';

/** The name that the example CSR asks for. */
export const exampleName = 'device.example.internal';
/** The key that the sidecar makes in fleet tls. */
export const sidecarKeyLabel = 'sidecar';

/** The application that uses the fleet of a role. */
export const applicationOf = { ca: 'ca', tls: 'tls-sidecar', data: 'records' };

/**
 * @param module  path of the PKCS#11 module
 * @param fingerprints  by token label, as far as members are enrolled
 */
export function writeAppConfigs(ports, module, fingerprints) {
  write('ca', caConfig(ports, hsm('ca', module, fingerprints)));
  write('records', recordsConfig(ports, hsm('data', module, fingerprints)));
  write('tls-sidecar', sidecarConfig(ports, hsm('tls', module, fingerprints)));
}

function write(app, content) {
  for (const file of [configFile(app), databaseFile(app), logFile(app)])
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(configFile(app), `# Written by npm start, and again at each one.\n${content}`, { mode: 0o600 });
}

const caConfig = (ports, hsmSection) => `listen: { host: 127.0.0.1, port: ${ports.ca} }
publicUrl: http://127.0.0.1:${ports.ca}
${hsmSection}
database: { type: better-sqlite3, database: ${quote(databaseFile('ca'))} }
setupTokenFile: ${quote(setupTokenFile)}
access:
  clients:
    - name: user
      tokenFile: ${quote(userTokenFile)}
      scopes: ['certificates:issue', 'certificates:read', 'certificates:revoke']
    - { name: tls-sidecar, tokenFile: ${quote(sidecarTokenFile)}, scopes: ['certificates:issue'], profiles: [tls-server] }
allowedNames:
  dns: [localhost, ${exampleName}]
  ip: [127.0.0.1, "::1"]
authority:
  initialize: true
  root: { label: root, subject: { commonName: nest-hsm example root, organization: Example, country: DE }, algorithm: ec-p384, validityDays: 3650 }
  issuing: { label: issuing, subject: { commonName: nest-hsm example issuing CA, organization: Example, country: DE }, algorithm: ec-p256, validityDays: 1825 }
`;

const recordsConfig = (ports, hsmSection) => `listen: { host: 127.0.0.1, port: ${ports.records} }
${hsmSection}
kekLabel: kek
createKek: true
database: { type: better-sqlite3, database: ${quote(databaseFile('records'))} }
`;

const sidecarConfig = (ports, hsmSection) => `${hsmSection}
listeners:
  - listen: { host: 127.0.0.1, port: ${ports.sidecar} }
    l4: { upstream: { host: 127.0.0.1, port: ${ports.records} } }
certificates:
  - ca:
      url: http://127.0.0.1:${ports.ca}
      tokenFile: ${quote(sidecarTokenFile)}
      profile: tls-server
      dnsNames: [localhost]
      ipAddresses: [127.0.0.1]
      keyLabel: ${sidecarKeyLabel}
      keyAlgorithm: ec-p256
      certificateFile: ${quote(`${databaseFile('tls-sidecar').replace(/\.sqlite$/, '.pem')}`)}
admin: { host: 127.0.0.1, port: ${ports.sidecarAdmin} }
`;

/** Each application reaches the tokens of one role, and has the PINs of no other. */
function hsm(role, module, fingerprints) {
  const { state, keyring, audit } = fleetPaths(role);
  const members = tokensOf(role).map((label) => {
    const token = tokenPaths(label);
    const pinned = fingerprints[label];
    return `
    - module: ${quote(module)}
      token: { label: ${label} }
      pin: { file: ${quote(token.pin)} }
      moduleEnvironment: { SOFTHSM2_CONF: ${quote(token.softHsmConf)} }${pinned ? `\n      fingerprint: ${quote(pinned)}` : ''}`;
  });
  return `hsm:
  name: ${role}
  members:${members.join('')}
  replication: { mode: wrapped, keyring: ${quote(keyring)} }
  audit: { directory: ${quote(audit)} }
  stateDirectory: ${quote(state)}`;
}

/** A double-quoted YAML scalar is a JSON string. */
const quote = (text) => JSON.stringify(text);
