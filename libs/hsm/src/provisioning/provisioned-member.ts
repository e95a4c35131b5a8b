import { existsSync } from 'node:fs';
import { type MemberConfig, memberConfigs, type ParsedHsmConfig, type TokenMemberConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { ProvisioningPinSource, ProvisioningRequestOf, TokenContents, TokenState } from './protocol.js';
import { askProvisioningAgent } from './provisioning-agent.js';
import type { ParsedProvisioningConfig, SecurityOfficerPin } from './provisioning-config.js';

/** A member of a fleet as whoever provisions it sees it: its token from outside, and where its PINs are. */
export class ProvisionedMember {
  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID when a member is named that the fleet has not, or is behind a shared agent */
  static all(hsm: ParsedHsmConfig, terms: ParsedProvisioningConfig): ProvisionedMember[] {
    const configs = memberConfigs(hsm);
    const unknown = Object.keys(terms.members).filter((name) => !configs.some((config) => config.name === name));
    if (unknown.length > 0) {
      const names = configs.map(({ name }) => name).join(', ');
      throw new HsmError('ERR_HSM_CONFIG_INVALID', `provisioning.members: want ${names}, got ${unknown.join(', ')}`);
    }
    return configs.map((config) => new ProvisionedMember(withToken(config), terms));
  }

  readonly name: string;

  constructor(
    readonly config: TokenMemberConfig,
    private readonly terms: ParsedProvisioningConfig,
  ) {
    this.name = config.name;
  }

  /** What the agent's verbs about its token have in common. */
  get place(): Pick<ProvisioningRequestOf<'inspect'>, 'module' | 'stateDirectory' | 'trail'> {
    const { module, stateDirectory, audit, client } = this.config;
    return { module, stateDirectory, trail: audit && { settings: { ...audit, member: this.name }, client } };
  }

  /** The label that its token gets. */
  get label(): string {
    const { token } = this.config;
    return 'label' in token ? token.label : (this.terms.members[this.name]?.label ?? this.name);
  }

  /** Of the token to initialise, where it is named. */
  get serial(): string | undefined {
    const { token } = this.config;
    return 'serial' in token ? token.serial : this.terms.members[this.name]?.serial;
  }

  get mayMakeUserPin(): boolean {
    return this.terms.userPin.generate;
  }

  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID when there is none in a file or of a command */
  get userPin(): ProvisioningPinSource {
    const { pin } = this.config;
    if ('file' in pin) return pin;
    if ('command' in pin) return { command: [...pin.command] };
    throw new HsmError(
      'ERR_HSM_CONFIG_INVALID',
      `${this.name}: want its PIN in a file or of a command to provision it, got one that passes through this process`,
    );
  }

  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID when none is named */
  get securityOfficerPin(): SecurityOfficerPin {
    const pin = this.terms.members[this.name]?.soPin ?? this.terms.soPin;
    if (pin !== undefined) return pin;
    throw new HsmError('ERR_HSM_CONFIG_INVALID', `${this.name}: want provisioning.soPin, got none`);
  }

  /** As the agent takes it. */
  get securityOfficerPinSource(): ProvisioningPinSource {
    const pin = this.securityOfficerPin;
    return 'file' in pin ? { file: pin.file } : { command: [...pin.command] };
  }

  /** Every token that its module shows. */
  async tokens(): Promise<readonly TokenState[]> {
    const { moduleEnvironment } = this.config;
    return (await askProvisioningAgent(moduleEnvironment, { verb: 'inspect', ...this.place })).tokens;
  }

  /**
   * Its own token, if it was initialised.
   * @throws {HsmError} ERR_HSM_TOKEN_AMBIGUOUS
   */
  ownToken(tokens: readonly TokenState[]): TokenState | undefined {
    const { token: chosen } = this.config;
    const matching = tokens.filter(
      ({ label, serial, isInitialised }) =>
        isInitialised && ('label' in chosen ? label === chosen.label : serial === chosen.serial),
    );
    if (matching.length <= 1) return matching[0];
    const serials = matching.map(({ serial }) => serial).join(', ');
    throw new HsmError('ERR_HSM_TOKEN_AMBIGUOUS', `${this.name}: want one token, got ${matching.length}: ${serials}`);
  }

  /** The keys on a token that is this member's or may become so; without a login when `pin` is absent. */
  async keys({ serial }: TokenState, pin: ProvisioningPinSource | undefined): Promise<TokenContents> {
    const { moduleEnvironment } = this.config;
    return askProvisioningAgent(moduleEnvironment, { verb: 'list', ...this.place, token: { serial }, pin });
  }
}

function withToken(config: MemberConfig): TokenMemberConfig {
  if (!('socket' in config)) return config;
  const message = `${config.name}: want a member with its token to provision, got the socket of a shared agent`;
  throw new HsmError('ERR_HSM_CONFIG_INVALID', message);
}

/** Whether a PIN can be had there. A command always says it can. @param coming  files that are made before it is asked for */
export function isThere(pin: ProvisioningPinSource, coming: ReadonlySet<string>): boolean {
  return 'command' in pin || coming.has(pin.file) || existsSync(pin.file);
}
