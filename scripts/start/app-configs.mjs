// The applications' configuration for the main job, written anew at each start because the ports may differ.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { configFile, databaseFile, setupTokenFile, tokenPaths } from '../workspace/paths.mjs';

/** The name that the example CSR asks for. */
export const exampleName = 'device.example.internal';
/** The key that the sidecar makes in token tls. */
export const sidecarKeyLabel = 'sidecar';

/** @param module  path of the PKCS#11 module */
export function writeAppConfigs(ports, module) {
  write('ca', caConfig(ports, module));
  write('records', recordsConfig(ports, module));
  write('tls-sidecar', sidecarConfig(ports, module));
}

function write(app, content) {
  for (const file of [configFile(app), databaseFile(app)]) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(configFile(app), `# Written by npm start, and again at each one.\n${content}`, { mode: 0o600 });
}

const caConfig = (ports, module) => `listen: { host: 127.0.0.1, port: ${ports.ca} }
publicUrl: http://127.0.0.1:${ports.ca}
${hsm('ca', module)}
database: { type: better-sqlite3, database: ${quote(databaseFile('ca'))} }
setupTokenFile: ${quote(setupTokenFile)}
allowedNames:
  dns: [localhost, ${exampleName}]
  ip: [127.0.0.1, "::1"]
authority:
  initialize: true
  root: { label: root, subject: { commonName: nest-hsm example root }, algorithm: ec-p384, validityDays: 3650 }
  issuing: { label: issuing, subject: { commonName: nest-hsm example issuing CA }, algorithm: ec-p256, validityDays: 1825 }
`;

const recordsConfig = (ports, module) => `listen: { host: 127.0.0.1, port: ${ports.records} }
${hsm('data', module)}
kekLabel: kek
createKek: true
database: { type: better-sqlite3, database: ${quote(databaseFile('records'))} }
`;

const sidecarConfig = (ports, module) => `listen: { host: 127.0.0.1, port: ${ports.sidecar} }
${hsm('tls', module)}
upstream: { host: 127.0.0.1, port: ${ports.records} }
certificate:
  ca:
    url: http://127.0.0.1:${ports.ca}
    tokenFile: ${quote(setupTokenFile)}
    profile: tls-server
    dnsNames: [localhost]
    ipAddresses: [127.0.0.1]
    keyLabel: ${sidecarKeyLabel}
    keyAlgorithm: ec-p256
    certificateFile: ${quote(`${databaseFile('tls-sidecar').replace(/\.sqlite$/, '.pem')}`)}
admin: { host: 127.0.0.1, port: ${ports.sidecarAdmin} }
`;

/** Each application reaches one token, and has the PIN of no other. */
function hsm(role, module) {
  const token = tokenPaths(role);
  return `hsm:
  name: ${role}
  members:
    - module: ${quote(module)}
      token: { label: ${role} }
      pin: { file: ${quote(token.pin)} }
      moduleEnvironment: { SOFTHSM2_CONF: ${quote(token.softHsmConf)} }
      auditFile: ${quote(token.audit)}
  stateDirectory: ${quote(token.state)}`;
}

/** A double-quoted YAML scalar is a JSON string. */
const quote = (text) => JSON.stringify(text);
