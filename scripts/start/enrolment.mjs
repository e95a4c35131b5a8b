// The two tokens of a role get keys wrapped for them alone, so each is enrolled before its fleet is used.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { writeSecret } from '../setup/tokens.mjs';
import { configFile, fleetPaths, roles } from '../workspace/paths.mjs';
import { green, line } from '../workspace/terminal.mjs';
import { applicationOf, writeAppConfigs } from './app-configs.mjs';
import { nestHsm } from './keys.mjs';

/** @returns the fingerprints that were pinned at an earlier start, by token label */
export function pinnedFingerprints() {
  const files = roles.map((role) => fleetPaths(role).fingerprints).filter((file) => existsSync(file));
  return Object.assign({}, ...files.map((file) => JSON.parse(readFileSync(file, 'utf8'))));
}

/** Enrols the members of fleets that are new and pins them. In production two people compare the fingerprints first. */
export async function enrolMembers(ports, module) {
  const fresh = roles.filter((role) => !existsSync(fleetPaths(role).fingerprints));
  for (const role of fresh) {
    const { stdout } = await nestHsm`fleet enrol --json --config ${configFile(applicationOf[role])}`;
    const enrolled = JSON.parse(stdout).map(({ member, fingerprint }) => [member, fingerprint]);
    const { directory, fingerprints } = fleetPaths(role);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeSecret(fingerprints, JSON.stringify(Object.fromEntries(enrolled)));
    const shown = enrolled.map(([member, fingerprint]) => `${member} ${fingerprint.slice(0, 16)}…`).join(', ');
    line(green('✓'), 'nest-hsm fleet', `enrolled ${shown}`);
  }
  if (fresh.length > 0) writeAppConfigs(ports, module, pinnedFingerprints());
}
