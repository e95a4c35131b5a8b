import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Hsm,
  type HsmConfig,
  type HsmKey,
  type HsmMemberConfig,
  type NewKeyPair,
  type NewSecretKey,
} from '@nest-hsm/hsm';
import { type Overrides, split, TestToken } from '../support/token.js';

/**
 * The token under contract: a throw-away SoftHSM token, or the one that the environment names, so that any vendor's token
 * can be held against the same suite:
 *
 *   NEST_HSM_CONTRACT_MODULE       absolute path of its PKCS#11 module
 *   NEST_HSM_CONTRACT_TOKEN_LABEL  its label
 *   NEST_HSM_CONTRACT_PIN_FILE     a file (mode 0600) with its user PIN
 *   NEST_HSM_CONTRACT_ENVIRONMENT  JSON object of variables that the module needs; optional
 *
 * On a token of yours the suite makes keys whose labels begin with `contract-`, and destroys the ones it made.
 */
export class ContractSubject {
  static async open(overrides: Overrides = {}): Promise<ContractSubject> {
    const softHsm = process.env.NEST_HSM_CONTRACT_MODULE === undefined ? new TestToken('contract') : undefined;
    const stateDirectory = mkdtempSync(join(tmpdir(), 'nest-hsm-contract-'));
    const [member, fleet] = split(overrides);
    const members = [{ ...(softHsm?.member() ?? memberOfEnvironment()), name: 'contract', ...member }];
    const config = { name: 'contract', members, ...fleet, stateDirectory };
    return new ContractSubject(await Hsm.open(config), config, softHsm);
  }

  readonly #prefix = `contract-${randomBytes(4).toString('hex')}-`;

  private constructor(
    readonly hsm: Hsm,
    readonly config: HsmConfig & { readonly stateDirectory: string },
    /** Present when the token is a throw-away one, which may be looked at and written to behind the library's back. */
    readonly softHsm: TestToken | undefined,
  ) {}

  /** A label that no other run uses. */
  label(name: string): string {
    return this.#prefix + name;
  }

  offers(name: string): boolean {
    return this.hsm.members[0].token?.mechanisms.includes(name) ?? false;
  }

  keyPair(key: Omit<NewKeyPair, 'label'> & { label?: string }) {
    return this.hsm.generateKeyPair({ ...key, label: this.label(key.label ?? key.algorithm) });
  }

  secretKey(key: Omit<NewSecretKey, 'label'> & { label?: string }) {
    return this.hsm.generateSecretKey({ ...key, label: this.label(key.label ?? key.usage) });
  }

  async close(): Promise<void> {
    try {
      // A key goes with its unwrapped copies: what is left is asked for anew.
      for (let [key] = await this.#made(); key !== undefined; [key] = await this.#made())
        await this.hsm.destroyKey(key);
    } finally {
      await this.hsm.close();
      this.softHsm?.remove();
      rmSync(this.config.stateDirectory, { recursive: true, force: true });
    }
  }

  async #made(): Promise<readonly HsmKey[]> {
    return (await this.hsm.listKeys()).filter(({ label }) => label.startsWith(this.#prefix));
  }
}

function memberOfEnvironment(): HsmMemberConfig {
  const wanted = (name: string): string => {
    const value = process.env[`NEST_HSM_CONTRACT_${name}`];
    if (value === undefined) throw new Error(`contract suite: want NEST_HSM_CONTRACT_${name} beside _MODULE, got none`);
    return value;
  };
  return {
    module: wanted('MODULE'),
    token: { label: wanted('TOKEN_LABEL') },
    pin: { file: wanted('PIN_FILE') },
    moduleEnvironment: JSON.parse(process.env.NEST_HSM_CONTRACT_ENVIRONMENT ?? '{}') as Record<string, string>,
  };
}
