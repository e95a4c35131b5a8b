import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type ParsedHsmConfig, requireStateDirectory } from '../config.js';
import { HsmError } from '../errors.js';
import { Hsm } from '../hsm.js';
import type { Enrolment } from '../keyring/enrolment.js';
import { withProcessLock } from '../process-lock.js';
import { assertMayErase, type ErasureConsent } from './erasure.js';
import { missingSteps, type Observation, type ProvisioningStep } from './plan.js';
import type { ProvisioningPinSource, TokenContents, TokenState } from './protocol.js';
import { isThere, ProvisionedMember } from './provisioned-member.js';
import { askProvisioningAgent } from './provisioning-agent.js';
import type { ParsedProvisioningConfig } from './provisioning-config.js';

export interface MemberPlan {
  readonly member: string;
  /** The label that its token has or gets. */
  readonly token: string;
  /** The token that is given up for it. */
  readonly replaces?: { readonly label: string; readonly serial: string };
  /** Nothing to do when empty. */
  readonly steps: readonly ProvisioningStep[];
}

/** What is allowed besides what harms nobody. */
export interface ProvisioningConsent extends ErasureConsent {
  /** Members whose tokens are initialised anew though they are initialised, or were lost. */
  readonly reinitialise: readonly string[];
}

/**
 * Makes the tokens of a fleet ready: initialised, PINs set, each with the keys of its own that a member needs. It looks at what
 * is there and does what is missing, so whatever was interrupted is finished by running it again.
 */
export class FleetProvisioner {
  readonly #members: readonly ProvisionedMember[];

  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID */
  constructor(
    private readonly hsm: ParsedHsmConfig,
    terms: ParsedProvisioningConfig,
    private readonly consent: ProvisioningConsent,
  ) {
    this.#members = ProvisionedMember.all(hsm, terms);
    const unknown = consent.reinitialise.filter((name) => !this.#members.some((member) => member.name === name));
    if (unknown.length > 0) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `want a member to initialise anew, got ${unknown.join(', ')}`);
    }
  }

  /**
   * What would be done. Changes nothing; logs in to tokens that have a user PIN.
   * @throws {HsmError} ERR_HSM_TOKEN_HOLDS_KEYS and whatever else stands against it
   */
  async plan(): Promise<MemberPlan[]> {
    const plans: MemberPlan[] = [];
    // One after the other: members may be tokens of one library, whose blank token only one can have.
    const pinFiles = new Set<string>();
    for (const member of this.#members) plans.push(await this.#planMember(member, pinFiles));
    return plans;
  }

  /**
   * Does what was planned, as far as it is still missing.
   * @param done  told of each step when it is done
   * @throws {HsmError} ERR_HSM_PLAN_OUTDATED when something else is missing now
   */
  async carryOut(
    plans: readonly MemberPlan[],
    done: (member: string, step: ProvisioningStep) => void = () => undefined,
  ): Promise<void> {
    const directory = requireStateDirectory(this.hsm);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await withProcessLock(join(directory, 'provisioning.lock'), async () => {
      for (const member of this.#members) {
        const planned = plans.find((plan) => plan.member === member.name);
        const now = await this.#planMember(member, new Set());
        assertPlanned(now, planned);
        for (const step of now.steps) {
          await this.#doStep(member, step, now);
          done(member.name, step);
        }
      }
    });
  }

  /** Of the keys by which members take others in; none where the devices copy keys themselves. */
  async fingerprints(): Promise<Enrolment[]> {
    if (!this.#needsMemberKeys) return [];
    const enrolments: Enrolment[] = [];
    for (const member of this.#members)
      enrolments.push(...(await this.#withMember(member, (hsm) => hsm.enrolMembers())));
    return enrolments;
  }

  /** @param pinFiles  those that members before this one make; what it makes itself is added */
  async #planMember(member: ProvisionedMember, pinFiles: Set<string>): Promise<MemberPlan> {
    const tokens = await member.tokens();
    const own = member.ownToken(tokens);
    const replaced = await this.#replaced(member, tokens, own);
    const token = replaced === undefined ? own : undefined;
    const seen: Observation = {
      token,
      contents: token?.hasUserPin === true ? await member.keys(token, member.userPin) : undefined,
      hasSecurityOfficerPin: token !== undefined || isThere(member.securityOfficerPinSource, pinFiles),
      hasUserPin: isThere(member.userPin, pinFiles),
      needsMemberKey: this.#needsMemberKeys,
    };
    const steps = missingSteps(seen);
    assertMayMakePins(member, steps);
    if (steps.includes('make SO PIN file')) addFile(pinFiles, member.securityOfficerPinSource);
    if (steps.includes('make user PIN file')) addFile(pinFiles, member.userPin);
    const replaces = replaced && { label: replaced.label, serial: replaced.serial };
    return { member: member.name, token: token?.label ?? member.label, replaces, steps };
  }

  /** The initialised token that would be initialised anew for this member, when there is one and that may be. */
  async #replaced(
    member: ProvisionedMember,
    tokens: readonly TokenState[],
    own: TokenState | undefined,
  ): Promise<TokenState | undefined> {
    const isMeant = this.consent.reinitialise.includes(member.name);
    if (own !== undefined && !isMeant) return undefined;
    const candidate = own ?? tokens.find(({ serial, isInitialised }) => isInitialised && serial === member.serial);
    if (candidate !== undefined) {
      const { replication } = this.hsm;
      const keyring = replication.mode === 'wrapped' ? replication.keyring : undefined;
      await assertMayErase(candidate, await lookInto(member, candidate), this.consent, keyring);
      return candidate;
    }
    if (member.config.fingerprint === undefined || isMeant) return undefined;
    // SoftHSM shows a token that it lost as if it had never been.
    throw new HsmError(
      'ERR_HSM_TOKEN_NOT_FOUND',
      `${member.name}: its fingerprint is pinned, so it had a token labelled "${member.label}", and there is none: ` +
        `restore it, or start anew with --reinitialise ${member.name}`,
    );
  }

  async #doStep(member: ProvisionedMember, step: ProvisioningStep, { replaces }: MemberPlan): Promise<void> {
    const { moduleEnvironment } = member.config;
    const { label, serial, securityOfficerPinSource: securityOfficerPin, place } = member;
    switch (step) {
      case 'make SO PIN file':
        return makeFile(securityOfficerPin);
      case 'make user PIN file':
        return makeFile(member.userPin);
      case 'initialise token and set SO PIN':
        await askProvisioningAgent(moduleEnvironment, {
          verb: 'initialise',
          ...place,
          label,
          securityOfficerPin,
          ...(replaces === undefined ? { serial } : { replaces }),
        });
        return;
      case 'set user PIN':
        await askProvisioningAgent(moduleEnvironment, {
          verb: 'setUserPin',
          ...place,
          token: member.config.token,
          securityOfficerPin,
          pin: member.userPin,
        });
        return;
      case 'make member key':
        await this.#withMember(member, (hsm) => hsm.enrolMembers());
        return;
      case 'make probe key':
        // A probe makes the key that it signs with.
        return this.#withMember(member, (hsm) => hsm.probe());
    }
  }

  get #needsMemberKeys(): boolean {
    return this.hsm.replication.mode === 'wrapped';
  }

  /** The member alone, with all that its user may do: its own keys concern no other member and no keyring. */
  async #withMember<T>({ name }: ProvisionedMember, work: (hsm: Hsm) => Promise<T>): Promise<T> {
    const index = this.#members.findIndex((member) => member.name === name);
    const { policy: _, ...rest } = this.hsm;
    const members = [{ ...this.hsm.members[index], name }];
    const hsm = await Hsm.open({ ...rest, members, quorum: 1, replication: { mode: 'vendor' } });
    try {
      return await work(hsm);
    } finally {
      await hsm.close();
    }
  }
}

/** @returns undefined when it cannot be looked into */
async function lookInto(member: ProvisionedMember, token: TokenState): Promise<TokenContents | undefined> {
  try {
    return await member.keys(token, token.hasUserPin ? member.userPin : undefined);
  } catch (error) {
    if (error instanceof HsmError && error.code.startsWith('ERR_HSM_PIN_')) return undefined;
    throw error;
  }
}

function addFile(files: Set<string>, pin: ProvisioningPinSource): void {
  if ('file' in pin) files.add(pin.file);
}

async function makeFile(pin: ProvisioningPinSource): Promise<void> {
  if ('file' in pin) await askProvisioningAgent({}, { verb: 'makePinFile', file: pin.file });
}

/** @throws {HsmError} ERR_HSM_PIN_SOURCE when a PIN is missing that nobody said may be made */
function assertMayMakePins(member: ProvisionedMember, steps: readonly ProvisioningStep[]): void {
  const fault = (what: string, pin: ProvisioningPinSource, mend: string): HsmError => {
    const where = 'file' in pin ? pin.file : pin.command[0];
    return new HsmError(
      'ERR_HSM_PIN_SOURCE',
      `${member.name}: want its ${what} in ${where}, got no file; ${mend} makes one`,
    );
  };
  const securityOfficerPin = steps.includes('make SO PIN file') ? member.securityOfficerPin : undefined;
  if (securityOfficerPin && !('generate' in securityOfficerPin && securityOfficerPin.generate)) {
    throw fault('SO PIN', member.securityOfficerPinSource, 'provisioning.soPin.generate');
  }
  if (steps.includes('make user PIN file') && !member.mayMakeUserPin) {
    throw fault('user PIN', member.userPin, 'provisioning.userPin.generate');
  }
}

function assertPlanned(now: MemberPlan, planned: MemberPlan | undefined): void {
  const more = now.steps.filter((step) => !planned?.steps.includes(step));
  const isSameToken = now.replaces === undefined || now.replaces.serial === planned?.replaces?.serial;
  if (more.length === 0 && isSameToken) return;
  const message = `${now.member}: want what was planned, got ${more.join(', ') || 'another token to replace'} besides`;
  throw new HsmError('ERR_HSM_PLAN_OUTDATED', message);
}
