/**
 * What is done to a whole token and not to a key. Only the provisioning agent loads this folder: a token agent, and whoever
 * speaks to one, has no way to it.
 */
import { HsmError } from '../../../../errors.js';
import type { ProvisioningPinSource } from '../../../../provisioning/protocol.js';
import type { TokenSelector } from '../../../protocol.js';
import { withLoginLock } from '../../pin/login-lock.js';
import { readPin } from '../../pin/pin-source.js';
import { ensureStateDirectory } from '../../pin/state-directory.js';
import { endQuietly, loadModule } from '../module.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotContent } from '../native.js';
import { attemptPin, refusedSecurityOfficerPin } from '../pin-attempt.js';
import { toHsmError } from '../return-value.js';

export interface ModuleSettings {
  readonly module: string;
  readonly stateDirectory: string;
}

/**
 * Loads the module for one piece of work, and ends it. No agent of this state directory logs in meanwhile.
 * @throws {HsmError}
 */
export async function withModule<T>(
  { module, stateDirectory }: ModuleSettings,
  work: (native: Native) => Promise<T>,
): Promise<T> {
  await ensureStateDirectory(stateDirectory);
  return withLoginLock(stateDirectory, async () => {
    const native = loadModule(module);
    try {
      return await work(native);
    } catch (error) {
      throw error instanceof ReturnValueError ? toHsmError(error, new Set()) : error;
    } finally {
      endQuietly(native);
    }
  });
}

/** Logs in as the security officer for one piece of work. @throws {HsmError} ERR_HSM_PIN_* and what `initialisedToken` throws */
export async function asSecurityOfficer(
  request: ModuleSettings & { readonly token: TokenSelector; readonly securityOfficerPin: ProvisioningPinSource },
  work: (native: Native, session: SessionHandle, token: SlotContent) => Promise<void>,
): Promise<void> {
  await withModule(request, async (native) => {
    const token = initialisedToken(native, request.token);
    const session = native.openSession(token.slot);
    await withPin(request.securityOfficerPin, token, (pin) =>
      attemptPin(
        refusedSecurityOfficerPin(request.stateDirectory, token),
        `${named(token)}, security officer`,
        pin,
        () => native.loginSecurityOfficer(session, pin),
      ),
    );
    await work(native, session, token);
    native.logout(session);
  });
}

/** Reads a PIN, holds it against what the token takes before it costs an attempt, and zeroes it afterwards. */
export async function withPin<T>(
  source: ProvisioningPinSource,
  { minimumPinBytes, maximumPinBytes }: SlotContent,
  work: (pin: Buffer) => Promise<T>,
): Promise<T> {
  const pin = await readPin(source);
  try {
    const isTooLong = maximumPinBytes > 0 && pin.length > maximumPinBytes;
    if (pin.length < minimumPinBytes || isTooLong) {
      const name = 'file' in source ? `PIN file ${source.file}` : `PIN command ${source.command[0]}`;
      const want = `want ${minimumPinBytes} to ${maximumPinBytes} bytes, as the token says`;
      throw new HsmError('ERR_HSM_PIN_SOURCE', `${name}: ${want}, got ${pin.length}`);
    }
    return await work(pin);
  } finally {
    pin.fill(0);
  }
}

export function allTokens(native: Native): SlotContent[] {
  return native.slots().map((slot) => native.slotContent(slot));
}

/** @throws {HsmError} ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS */
export function initialisedToken(native: Native, selector: TokenSelector): SlotContent {
  const matching = allTokens(native)
    .filter((token) => has(token, ck.CKF_TOKEN_INITIALIZED))
    .filter(({ label, serial }) => ('label' in selector ? label === selector.label : serial === selector.serial));
  if (matching.length === 1) return matching[0];
  const want = 'label' in selector ? `labelled "${selector.label}"` : `with serial ${selector.serial}`;
  throw new HsmError(
    matching.length === 0 ? 'ERR_HSM_TOKEN_NOT_FOUND' : 'ERR_HSM_TOKEN_AMBIGUOUS',
    `want one initialised token ${want}, got ${matching.length || 'none'}`,
  );
}

export function has({ flags }: SlotContent, flag: number): boolean {
  return (flags & flag) !== 0;
}

export function named({ label, serial }: SlotContent): string {
  return `token "${label}" (serial ${serial})`;
}
