import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { describeStartFaults, type StartFault } from '../support/ca-start-faults.js';

/** Of the kinds that the gate has one of. */
const faults: StartFault[] = [
  ['a configuration file that is no YAML', (home) => void home.file('ca.yaml', 'listen: ]'), [/ERR_API_CONFIG/, /YAML/]],
  ['a non-loopback address without leave', (home) => home.configure({ listen: { host: '0.0.0.0', port: 0 } }), [/ERR_API_CONFIG/, /want a loopback address, tls, or allowNonLoopback: true/]],
  ['a database file below a file', (home) => home.configure({ database: { type: 'better-sqlite3', database: `${home.configFile}/ca.sqlite` } }), [/ERR_CA_STORE_UNUSABLE/, /ca\.yaml\/ca\.sqlite/]],
  ['a database file that is something else', (home) => void home.file('ca.sqlite', randomBytes(8192)), [/ERR_CA_STORE_UNUSABLE/, /not a database/]],
  ['a PostgreSQL URL file that is not there', (home) => home.configure({ database: { type: 'postgres', urlFile: '/nonexistent/url' } }), [/ERR_CA_STORE_UNUSABLE/, /\/nonexistent\/url/]],
  ['a token that is missing', (home) => home.configure({ hsm: home.token.config({ token: { label: 'elsewhere' } }) }), [/ERR_HSM_TOKEN_NOT_FOUND/, /elsewhere/]],
  ['two tokens of the label', (home) => home.token.addToken('ca'), [/ERR_HSM_TOKEN_AMBIGUOUS/]],
  ['a module that is missing', (home) => home.configure({ hsm: home.token.config({ module: '/nonexistent.so' }) }), [/ERR_HSM_MODULE_UNUSABLE/, /nonexistent\.so/]],
  ['a set-up token that is too short', (home) => chmodSync(home.file('setup-token', 'short'), 0o600), [/ERR_API_CONFIG/, /at least 32 characters, got 5/]],
  ['a set-up token that is a directory', (home) => void mkdirSync(home.setupTokenFile), [/ERR_API_CONFIG/]],
]; // prettier-ignore

describeStartFaults(faults);
