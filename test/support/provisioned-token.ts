import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  FleetProvisioner,
  type HsmConfig,
  parseHsmConfig,
  type ProvisioningConfig,
  provisioningConfigSchema,
  type ProvisioningConsent,
  type TokenStatus,
  tokenStatus,
} from '@nest-hsm/hsm';
import { rawObjects } from './raw-token.js';
import { runProcess } from './scratch-workspace.js';
import { softHsmModule } from './token.js';

/** An empty folder, where commands are run as somebody would who has nest-hsm on the path. */
export class Folder {
  constructor(readonly path = mkdtempSync(join(tmpdir(), 'nest-hsm-provisioning-'))) {}

  /** Runs shell lines; ends with the first that fails. */
  async sh(script: string): Promise<string> {
    const program = `"${process.execPath}" "${resolve('dist/apps/cli/main.js')}"`;
    const command = `nest-hsm() { ${program} "$@"; }\nset -e\n${script}`;
    const { code, stdout, stderr } = await runProcess('/bin/bash', ['-c', command], { cwd: this.path });
    if (code !== 0) throw new Error(`${script}: ended with ${code}: ${stdout}${stderr}`);
    return stdout + stderr;
  }

  at(name: string): string {
    return join(this.path, name);
  }

  read(name: string): string {
    return readFileSync(this.at(name), 'utf8').trim();
  }

  /** A file of its owner alone. */
  write(name: string, text: string): void {
    writeFileSync(this.at(name), text, { mode: 0o600 });
  }

  /** The labels of the objects on a token, asked of SoftHSM itself with the PIN of a file. */
  labels(token: string, tokens: string, pinFile: string): string[] {
    const softHsmConf = this.at('absolute.conf');
    writeFileSync(softHsmConf, `directories.tokendir = ${this.at(tokens)}\n`);
    return rawObjects({ label: token, pin: this.read(pinFile), softHsmConf }).map(({ label }) => label);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A fleet of one SoftHSM token, "app" of the member "only", that is provisioned or about to be. */
export class ProvisionedToken {
  hsm: HsmConfig;
  provisioning: ProvisioningConfig;

  /** @param folder  where it lies; that of a virtual device, if it is one's, which misbehaves on no other */
  constructor(
    readonly folder = new Folder(),
    module = softHsmModule(),
    moduleEnvironment: Record<string, string> = {},
  ) {
    mkdirSync(folder.at('tokens'), { recursive: true });
    folder.write('softhsm.conf', `directories.tokendir = ${folder.at('tokens')}\nlog.level = ERROR\n`);
    const member = {
      name: 'only',
      module,
      token: { label: 'app' },
      pin: { file: folder.at('pin') },
      moduleEnvironment: { ...moduleEnvironment, SOFTHSM2_CONF: folder.at('softhsm.conf') },
    };
    this.hsm = { name: 'app', members: [member], stateDirectory: folder.at('state') };
    this.provisioning = { soPin: { file: folder.at('so-pin'), generate: true }, userPin: { generate: true } };
  }

  /** Made by SoftHSM's own tool, with the PINs "so-pin-1" and "user-pin-1" in their files. */
  static made(): ProvisionedToken {
    const token = new ProvisionedToken();
    const [soPin, pin] = ['so-pin-1', 'user-pin-1'];
    token.folder.write('so-pin', soPin);
    token.folder.write('pin', pin);
    const args = ['--init-token', '--free', '--label', 'app', '--so-pin', soPin, '--pin', pin];
    const env = { ...process.env, SOFTHSM2_CONF: token.folder.at('softhsm.conf') };
    execFileSync('softhsm2-util', args, { env, stdio: 'pipe' });
    return token;
  }

  /** What the functions of provisioning take. */
  get terms(): readonly [ReturnType<typeof parseHsmConfig>, ReturnType<typeof provisioningConfigSchema.parse>] {
    return [parseHsmConfig(this.hsm), provisioningConfigSchema.parse(this.provisioning)];
  }

  provisioner(consent: Partial<ProvisioningConsent> = {}): FleetProvisioner {
    return new FleetProvisioner(...this.terms, { reinitialise: [], backedUp: [], destroyKeys: [], ...consent });
  }

  async init(consent: Partial<ProvisioningConsent> = {}): Promise<void> {
    const provisioner = this.provisioner(consent);
    await provisioner.carryOut(await provisioner.plan());
  }

  async status(): Promise<TokenStatus> {
    return (await tokenStatus(...this.terms))[0];
  }

  /** The labels of its objects. @throws when the PIN in its file is not its PIN */
  labels(): string[] {
    return this.folder.labels('app', 'tokens', 'pin');
  }

  remove(): void {
    this.folder.remove();
  }
}
