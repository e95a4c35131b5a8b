import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type BackupSummary,
  type Ceremony,
  type Hsm,
  type HsmConfig,
  readBackup,
  type RecoveryToken,
} from '@nest-hsm/hsm';
import type { SteerableFunction } from '../chaos/control-file.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { KeyringFleet, TestRecoveryToken } from './keyring-fleet.js';
import { childrenOf, exists } from './processes.js';
import { rawObjects } from './raw-token.js';
import { TestToken } from './token.js';

/**
 * Where a ceremony is stopped: in the call of the function after so many, on the device that takes keys in or on the one that
 * opens them.
 */
export interface KillStep {
  readonly on: 'member' | 'recovery';
  readonly function: SteerableFunction;
  readonly after: number;
}

export type CeremonyProtocol = 'resync' | 'restore' | 'migrate';

/** What a ceremony goes through for its first key, on both devices. */
export const killSteps: readonly KillStep[] = [
  { on: 'recovery', function: 'C_UnwrapKey', after: 0 }, // its transport key
  { on: 'recovery', function: 'C_UnwrapKey', after: 1 }, // the key, as a session object
  { on: 'recovery', function: 'C_WrapKey', after: 0 }, // under the new transport key
  { on: 'recovery', function: 'C_WrapKey', after: 1 }, // that under the member's key
  { on: 'recovery', function: 'C_DestroyObject', after: 0 },
  { on: 'member', function: 'C_UnwrapKey', after: 0 },
  { on: 'member', function: 'C_UnwrapKey', after: 1 },
  { on: 'member', function: 'C_CreateObject', after: 0 }, // its public half
  { on: 'member', function: 'C_Sign', after: 0 }, // shown by the member itself
  { on: 'member', function: 'C_Sign', after: 1 }, // shown to us
];

/**
 * A fleet of one member that has keys and a backup of them, a member that has none, and a recovery token; the last two can be
 * stopped at any call. Both are put back before each ceremony, and so is the keyring.
 */
export class CeremonyScene {
  readonly home = new TestToken('home');
  readonly joining = new VirtualHsm('joining');
  readonly opening = new VirtualHsm('recovery');
  recovery: TestRecoveryToken;
  fleet: KeyringFleet;
  backup: BackupSummary;

  static async set(): Promise<CeremonyScene> {
    const scene = new CeremonyScene();
    scene.recovery = await TestRecoveryToken.made(scene.opening);
    scene.fleet = new KeyringFleet({ home: scene.home, joining: scene.joining }, [scene.recovery]);
    await scene.fleet.enrol();
    await scene.fleet.opened(
      async (hsm) => {
        await hsm.generateKeyPair({ label: 'signer', algorithm: 'ec-p256' });
        await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
        scene.backup = await hsm.custody.createBackup(scene.file);
      },
      scene.fleet.config(['home']),
    );
    for (const device of [scene.joining, scene.opening]) device.snapshotToken();
    return scene;
  }

  get file(): string {
    return join(this.fleet.directory, 'first.backup');
  }

  /** Puts everything back. @returns the configuration that the ceremony is held on */
  async prepare(protocol: CeremonyProtocol): Promise<HsmConfig> {
    for (const device of [this.joining, this.opening]) {
      device.heal();
      device.restoreToken();
    }
    const keyring = join(this.fleet.directory, randomUUID());
    if (protocol === 'resync') cpSync(join(this.fleet.directory, 'keyring'), keyring, { recursive: true });
    const replication = { ...this.fleet.config().replication, keyring } as HsmConfig['replication'];
    const name = protocol === 'migrate' ? 'next' : this.fleet.name;
    const stateDirectory = `${keyring}-state`;
    const members = protocol === 'resync' ? ['home', 'joining'] : ['joining'];
    return Promise.resolve(this.fleet.config(members, { name, replication, stateDirectory, quorum: 1 }));
  }

  /** Starts a ceremony, kills its process in that step, with or without its agents, and waits until all of that is over. */
  async interrupt(protocol: CeremonyProtocol, config: HsmConfig, step: KillStep, withAgents: boolean): Promise<void> {
    const device = step.on === 'member' ? this.joining : this.opening;
    const before = device.calls(step.function);
    device.freeze(step.function, { after: step.after, times: 1 });
    const holder = this.#hold(protocol, config);
    const exited = once(holder, 'exit');
    let code: number | null | undefined;
    holder.once('exit', (exitCode) => (code = exitCode));
    while (device.calls(step.function) < before + step.after + 1) {
      if (code !== undefined)
        throw new Error(`want ${step.function} number ${step.after} called, got an end with ${code}`);
      await pause(5);
    }
    const pid = holder.pid as number;
    const agents = childrenOf(pid);
    for (const each of [pid, ...(withAgents ? agents : [])]) process.kill(each, 'SIGKILL');
    await exited;
    device.heal();
    while (agents.some(exists)) await pause(5);
  }

  /** Holds a ceremony to its end. */
  hold(protocol: CeremonyProtocol, config: HsmConfig): ReturnType<Ceremony['carryOut']> {
    const prepare: Record<CeremonyProtocol, (hsm: Hsm, token: RecoveryToken) => Promise<Ceremony>> = {
      resync: (hsm, token) => hsm.custody.prepareResync(token),
      restore: async (hsm, token) =>
        hsm.custody.prepareRestore(await readBackup(this.file, this.backup.fingerprint), token),
      migrate: async (hsm, token) => {
        const departure = await this.fleet.opened((source) => source.departure(), this.fleet.config(['home']));
        return hsm.custody.prepareArrival(departure, token);
      },
    };
    return this.fleet.opened(
      (hsm) => this.recovery.present(async (token) => (await prepare[protocol](hsm, token)).carryOut()),
      config,
    );
  }

  /** What is on a token that no sealed key may look like. */
  loose(): unknown[] {
    const objects = [this.home, this.joining.token, this.opening.token].flatMap((token) => rawObjects(token));
    return objects.filter(
      (object) => object.EXTRACTABLE === true || object.SENSITIVE === false || object.MODIFIABLE !== false,
    );
  }

  /** Files that a write left which did not come to its end. */
  leftovers(config: HsmConfig): string[] {
    const { keyring } = config.replication as { keyring: string };
    return existsSync(keyring) ? readdirSync(keyring).filter((name) => name.endsWith('.new')) : [];
  }

  remove(): void {
    this.fleet.remove();
    this.home.remove();
    this.joining.remove();
    this.opening.remove();
  }

  #hold(protocol: CeremonyProtocol, config: HsmConfig): ChildProcess {
    const script = fileURLToPath(new URL('../e2e/ceremony-holder.mjs', import.meta.url));
    const { file, backup } = this;
    const input = {
      protocol,
      config,
      recovery: this.recovery.config(),
      file,
      signer: backup.fingerprint,
      source: this.fleet.config(['home']),
    };
    return spawn(process.execPath, [script, JSON.stringify(input)], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
}
