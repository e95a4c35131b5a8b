import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmConfig, type HsmTokenMemberConfig, type RecoveryPublicKey, RecoveryToken } from '@nest-hsm/hsm';
import type { VirtualHsm } from '../chaos/virtual-hsm.js';
import { type Overrides, TestToken } from './token.js';

/** A token of a fleet: one of the test's own, or a device that can be steered. */
export interface FleetToken {
  member(overrides?: Partial<HsmTokenMemberConfig>): HsmTokenMemberConfig;
}

/** A recovery token with its key. */
export class TestRecoveryToken {
  publicKey: RecoveryPublicKey;

  /** @param device  one of the test's own that can be steered; or else a new token */
  static async made(device: VirtualHsm | TestToken = new TestToken('recovery')): Promise<TestRecoveryToken> {
    const made = new TestRecoveryToken(device);
    made.publicKey = await made.present((token) => token.makeKey());
    return made;
  }

  private constructor(private readonly device: VirtualHsm | TestToken) {}

  get token(): TestToken {
    return this.device instanceof TestToken ? this.device : this.device.token;
  }

  config(changes: Overrides = {}): HsmConfig {
    return this.device.config({ name: 'recovery', ...changes });
  }

  /** Has it present for as long as the work takes. */
  async present<T>(work: (token: RecoveryToken) => Promise<T>, config = this.config()): Promise<T> {
    const token = await RecoveryToken.open(config);
    try {
      return await work(token);
    } finally {
      await token.close();
    }
  }
}

/** Tokens, the keyring that their fleet shares, and what was confirmed of them. */
export class KeyringFleet {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-keyring-'));
  readonly fingerprints: Record<string, string> = {};
  keyring = join(this.directory, 'keyring');

  constructor(
    readonly tokens: Readonly<Record<string, FleetToken>>,
    readonly recovery: readonly TestRecoveryToken[],
    readonly name = 'ca',
  ) {}

  /** Of these members, each enrolled as far as it was. */
  config(members = Object.keys(this.tokens), changes: Partial<HsmConfig> = {}): HsmConfig {
    const recoveryKeys = this.recovery.map(({ publicKey: { publicKey, algorithm } }) => ({ publicKey, algorithm }));
    return {
      name: this.name,
      members: members.map((name) => this.tokens[name].member({ name, fingerprint: this.fingerprints[name] })),
      stateDirectory: join(this.directory, 'state'),
      replication: { mode: 'wrapped', keyring: this.keyring, recoveryKeys },
      quorum: Math.min(2, members.length),
      ...changes,
    };
  }

  /** Makes the keys by which these members take in others, and pins them. */
  async enrol(members = Object.keys(this.tokens)): Promise<void> {
    const enrolments = await this.opened((hsm) => hsm.enrolMembers(), this.config(members));
    for (const { member, fingerprint } of enrolments) this.fingerprints[member] = fingerprint;
  }

  /** The fleet, once every member serves, for one piece of work. */
  async opened<T>(work: (hsm: Hsm) => Promise<T>, config = this.config()): Promise<T> {
    const hsm = await Hsm.open(config);
    try {
      while (hsm.members.some(({ state }) => state === 'starting')) await pause(5);
      return await work(hsm);
    } finally {
      await hsm.close();
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
