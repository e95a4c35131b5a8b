/** The PINs of tokens that are in use: looking at their state, changing them, revoking a user. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { ProvisioningPinSource, ProvisioningRequestOf, TokenState } from './protocol.js';
import { ProvisionedMember } from './provisioned-member.js';
import { askProvisioningAgent } from './provisioning-agent.js';
import type { ParsedProvisioningConfig } from './provisioning-config.js';

/** A member's token as it is seen without a login, so that looking costs no attempt. */
export interface TokenStatus {
  readonly member: string;
  /** Undefined when there is no such token. */
  readonly token?: TokenState;
  /** A change of the user's PIN was interrupted: `token pin change` finishes it. */
  readonly isPinChangeUnfinished: boolean;
}

/** Whose PIN. */
export type PinHolder = ProvisioningRequestOf<'changePin'>['who'];

export interface PinChange {
  readonly who: PinHolder;
  /** Has the new PIN, and is left as it is; absent: a random one is made. */
  readonly newPinFile?: string;
}

export interface PinChangeOutcome {
  /** Those whose PIN is in that file: all of them, since one alone would leave the others without theirs. */
  readonly members: readonly string[];
  /** Where the security officer's old PIN stays, which tokens of other roles may have; to be deleted when none has. */
  readonly oldPinFile?: string;
  /** Whether it was an earlier change that was finished, with the PIN that was meant then. */
  readonly wasInterrupted: boolean;
}

/** While a PIN is being changed its next file stands beside it. */
const nextOf = (file: string): string => `${file}.new`;
/** And the old one, of a security officer, afterwards: one configuration does not know the tokens of another. */
const oldOf = (file: string): string => `${file}.old`;

export async function tokenStatus(hsm: ParsedHsmConfig, terms: ParsedProvisioningConfig): Promise<TokenStatus[]> {
  const statuses: TokenStatus[] = [];
  for (const member of ProvisionedMember.all(hsm, terms)) {
    const { pin } = member.config;
    statuses.push({
      member: member.name,
      token: member.ownToken(await member.tokens()),
      isPinChangeUnfinished: 'file' in pin && existsSync(nextOf(pin.file)),
    });
  }
  return statuses;
}

/**
 * Changes a PIN. The new one is on the disk before a token takes it, and takes the place of the current file when the token has;
 * after a crash at any point the same call finishes it. The file of a security officer's old PIN stays too. Agents that are logged in stay so.
 * @throws {HsmError} ERR_HSM_PIN_INCORRECT | ERR_HSM_PIN_REFUSED_EARLIER | ERR_HSM_PIN_FINAL_TRY | ERR_HSM_PIN_LOCKED | ERR_HSM_PIN_SOURCE
 */
export async function changeTokenPin(
  hsm: ParsedHsmConfig,
  terms: ParsedProvisioningConfig,
  name: string,
  { who, newPinFile }: PinChange,
): Promise<PinChangeOutcome> {
  const all = ProvisionedMember.all(hsm, terms);
  const current = pinOf(memberOf(all, name), who);
  if ('command' in current) return changeCommandPin(memberOf(all, name), current, who, newPinFile);
  const holders = all.filter((member) => {
    const pin = pinOf(member, who);
    return 'file' in pin && pin.file === current.file;
  });
  const next = nextOf(current.file);
  const old = who === 'security officer' ? oldOf(current.file) : undefined;
  const { isNew } = await askProvisioningAgent({}, { verb: 'makePinFile', file: next, from: newPinFile });
  for (const [index, member] of holders.entries()) {
    const isLast = index === holders.length - 1;
    const terms = { who, current, next, old, replacesFile: isLast, isInDoubt: !isNew };
    try {
      await ask(member, terms);
    } catch (error) {
      // Where no token has it, there is nothing to finish.
      if (isNew && index === 0 && changedNothing(error)) await rm(next, { force: true });
      throw error;
    }
  }
  return { members: holders.map((member) => member.name), oldPinFile: old, wasInterrupted: !isNew };
}

/**
 * Has the security officer set the user's PIN, whatever it was: after a revocation, when it is locked, when it is lost. Run again, it
 * finishes what was interrupted.
 * @throws {HsmError} ERR_HSM_PIN_* of the security officer
 */
export async function resetTokenPin(
  hsm: ParsedHsmConfig,
  terms: ParsedProvisioningConfig,
  name: string,
  newPinFile: string | undefined,
): Promise<void> {
  const all = ProvisionedMember.all(hsm, terms);
  const member = memberOf(all, name);
  const { userPin, securityOfficerPinSource: securityOfficerPin, place, config } = member;
  const common = { verb: 'resetUserPin', ...place, token: config.token, securityOfficerPin } as const;
  if ('command' in userPin) {
    const next = newPinFile ?? throwWantsFile(name);
    await askProvisioningAgent(config.moduleEnvironment, { ...common, next });
    return;
  }
  const sharing = all.filter((each) => each !== member && 'file' in each.userPin && each.userPin.file === userPin.file);
  if (sharing.length > 0) {
    const others = sharing.map((each) => each.name).join(', ');
    const message = `${name}: want a PIN file of its own, got ${userPin.file}, which ${others} would lose`;
    throw new HsmError('ERR_HSM_CONFIG_INVALID', message);
  }
  const next = nextOf(userPin.file);
  await askProvisioningAgent({}, { verb: 'makePinFile', file: next, from: newPinFile });
  await askProvisioningAgent(config.moduleEnvironment, { ...common, next, replacesFile: userPin.file });
}

/**
 * Takes the user's PIN from a token: the security officer sets a random one that nobody keeps. Agents that are logged in stay so
 * until they end; none logs in any more.
 * @throws {HsmError} ERR_HSM_PIN_* of the security officer
 */
export async function revokeTokenUser(
  hsm: ParsedHsmConfig,
  terms: ParsedProvisioningConfig,
  name: string,
): Promise<void> {
  const member = memberOf(ProvisionedMember.all(hsm, terms), name);
  const { securityOfficerPinSource: securityOfficerPin, place, config } = member;
  const request = { verb: 'revokeUser', ...place, token: config.token, securityOfficerPin } as const;
  await askProvisioningAgent(config.moduleEnvironment, request);
}

/** What a command prints is changed by whoever keeps it: here the token only. */
async function changeCommandPin(
  member: ProvisionedMember,
  current: ProvisioningPinSource,
  who: PinHolder,
  newPinFile: string | undefined,
): Promise<PinChangeOutcome> {
  const next = newPinFile ?? throwWantsFile(member.name);
  await ask(member, { who, current, next, replacesFile: false, isInDoubt: false });
  return { members: [member.name], wasInterrupted: false };
}

async function ask(
  { config, place }: ProvisionedMember,
  terms: Omit<ProvisioningRequestOf<'changePin'>, 'verb' | 'module' | 'stateDirectory' | 'trail' | 'token'>,
): Promise<void> {
  const request = { verb: 'changePin', ...place, token: config.token, ...terms } as const;
  await askProvisioningAgent(config.moduleEnvironment, request);
}

function pinOf(member: ProvisionedMember, who: PinHolder): ProvisioningPinSource {
  return who === 'user' ? member.userPin : member.securityOfficerPinSource;
}

function memberOf(all: readonly ProvisionedMember[], name: string): ProvisionedMember {
  const member = all.find((each) => each.name === name);
  if (member !== undefined) return member;
  const names = all.map((each) => each.name).join(', ');
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `member: want one of ${names}, got ${name}`);
}

function throwWantsFile(name: string): never {
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `${name}: its PIN comes from a command: want the new one in a file`);
}

/** The token was not reached, or refused the current PIN or the next one, or the change could not be recorded and was not begun. */
function changedNothing(error: unknown): boolean {
  if (!(error instanceof HsmError)) return false;
  const isRefused = error.pkcs11Function === 'C_SetPIN' && error.returnValue?.startsWith('CKR_PIN_') === true;
  return error.fault === 'operator' || error.code === 'ERR_HSM_AUDIT_UNAVAILABLE' || isRefused;
}
