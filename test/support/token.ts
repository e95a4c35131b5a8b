import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HsmConfig, HsmTokenMemberConfig } from '@nest-hsm/hsm';

const softHsmModules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
];

/** The SoftHSM module of this machine. @throws when there is none: set-up installs it */
export function softHsmModule(): string {
  const module = softHsmModules.find(existsSync);
  if (module === undefined) throw new Error('SoftHSM: want libsofthsm2.so on this machine, got none (run npm test)');
  return module;
}

/** Settings of the fleet or of its one member, as a test wants them. */
export type Overrides = Partial<HsmConfig & HsmTokenMemberConfig>;

const memberSettings = ['module', 'token', 'pin', 'sessions', 'moduleEnvironment', 'vendor'];

/** @returns what is about the member, what is about the fleet */
export function split(overrides: Overrides): [Partial<HsmTokenMemberConfig>, Partial<HsmConfig>] {
  const entries = Object.entries(overrides);
  const isOfMember = ([name]: [string, unknown]) => memberSettings.includes(name);
  return [
    Object.fromEntries(entries.filter(isOfMember)),
    Object.fromEntries(entries.filter((entry) => !isOfMember(entry))),
  ];
}

/** A token directory of its own with one initialised SoftHSM token in it. */
export class TestToken {
  readonly directory: string;
  readonly softHsmConf: string;
  readonly pinFile: string;
  readonly pin = randomBytes(8).toString('hex');

  constructor(readonly label: string) {
    this.directory = mkdtempSync(join(tmpdir(), 'nest-hsm-token-'));
    this.softHsmConf = join(this.directory, 'softhsm2.conf');
    this.pinFile = join(this.directory, 'pin');
    mkdirSync(join(this.directory, 'tokens'));
    writeFileSync(this.softHsmConf, `directories.tokendir = ${join(this.directory, 'tokens')}\nlog.level = ERROR\n`);
    writeFileSync(this.pinFile, this.pin, { mode: 0o600 });
    this.addToken(label);
  }

  /** Initialises one more token in the same directory, e.g. a second one of the same label. */
  addToken(label: string): void {
    const soPin = randomBytes(8).toString('hex');
    const args = ['--init-token', '--free', '--label', label, '--so-pin', soPin, '--pin', this.pin];
    execFileSync('softhsm2-util', args, { env: { ...process.env, SOFTHSM2_CONF: this.softHsmConf }, stdio: 'pipe' });
  }

  /** What `Hsm.open` takes to use this token alone. */
  config(overrides: Overrides = {}): HsmConfig {
    const [member, fleet] = split(overrides);
    return {
      name: this.label,
      members: [this.member(member)],
      stateDirectory: join(this.directory, 'state'),
      ...fleet,
    };
  }

  /** This token as a member of a fleet. */
  member(overrides: Partial<HsmTokenMemberConfig> = {}): HsmTokenMemberConfig {
    return {
      module: softHsmModule(),
      token: { label: this.label },
      pin: { file: this.pinFile },
      moduleEnvironment: { SOFTHSM2_CONF: this.softHsmConf },
      ...overrides,
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
