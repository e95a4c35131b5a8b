import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../../../../errors.js';
import type { ProvisioningRequestOf } from '../../../../provisioning/protocol.js';
import { ck, type Native, type SlotContent } from '../native.js';
import { attemptPin, refusedSecurityOfficerPin } from '../pin-attempt.js';
import { allTokens, has, initialisedToken, named, withModule, withPin } from './administered-token.js';
import { inspectTokens } from './inspection.js';

const searches = 3;
const searchPauseMilliseconds = 60;

type Request = ProvisioningRequestOf<'initialise'>;

/**
 * Initialises a token, one that never was or the one that it is said to replace, and so sets its security officer's PIN.
 * @returns its serial number; SoftHSM draws it only now
 * @throws {HsmError} ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS | ERR_HSM_PIN_*
 */
export async function initialiseToken(request: Request): Promise<string> {
  const { label, securityOfficerPin, stateDirectory } = request;
  await expectAbsent(request);
  return withModule(request, async (native) => {
    const token = request.replaces ? replacedToken(native, request.replaces) : blankToken(native, request.serial);
    const refused = refusedSecurityOfficerPin(stateDirectory, token);
    await withPin(securityOfficerPin, token, (pin) =>
      attemptPin(refused, `${named(token)}, security officer`, pin, () => native.initToken(token.slot, pin, label)),
    );
    return native.slotContent(token.slot).serial;
  });
}

/**
 * Looked for more than once: a token that another process is writing at the moment is not seen, and there would be two of that
 * label then.
 */
async function expectAbsent({ module, stateDirectory, label, replaces }: Request): Promise<void> {
  for (let search = 1; search <= searches; search++) {
    const tokens = await inspectTokens({ module, stateDirectory });
    const found = tokens.find(
      (token) => token.isInitialised && token.label === label && token.serial !== replaces?.serial,
    );
    if (found !== undefined) {
      const message = `want no token labelled "${label}" yet, got one with serial ${found.serial}`;
      throw new HsmError('ERR_HSM_TOKEN_AMBIGUOUS', message);
    }
    if (search < searches) await pause(searchPauseMilliseconds);
  }
}

/** SoftHSM always shows one; a device may have several slots with blank tokens. */
function blankToken(native: Native, serial: string | undefined): SlotContent {
  const matching = allTokens(native)
    .filter((token) => !has(token, ck.CKF_TOKEN_INITIALIZED))
    .filter((token) => serial === undefined || token.serial === serial);
  if (matching.length === 1) return matching[0];
  const name = `uninitialised token${serial === undefined ? '' : ` with serial ${serial}`}`;
  if (matching.length === 0) throw new HsmError('ERR_HSM_TOKEN_NOT_FOUND', `want an ${name}, got none`);
  const serials = matching.map((token) => token.serial).join(', ');
  throw new HsmError('ERR_HSM_TOKEN_AMBIGUOUS', `want one ${name}, got ${matching.length} with serials ${serials}`);
}

function replacedToken(native: Native, { label, serial }: NonNullable<Request['replaces']>): SlotContent {
  const token = initialisedToken(native, { serial });
  if (token.label === label) return token;
  throw new HsmError('ERR_HSM_TOKEN_NOT_FOUND', `token with serial ${serial}: want "${label}", got "${token.label}"`);
}
