import { HsmError } from '../../../../errors.js';
import type { ProvisioningRequestOf } from '../../../../provisioning/protocol.js';
import { randomPin, replacePinFile } from '../../pin/pin-file.js';
import { ck, type SlotContent } from '../native.js';
import { refusedUserPin } from '../pin-attempt.js';
import { asSecurityOfficer, has, named, withPin } from './administered-token.js';

/** Sets the user's PIN of a token that has none. @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when it has one */
export async function setUserPin(request: ProvisioningRequestOf<'setUserPin'>): Promise<void> {
  await asSecurityOfficer(request, async (native, session, token) => {
    if (has(token, ck.CKF_USER_PIN_INITIALIZED)) {
      throw new HsmError(
        'ERR_HSM_ARGUMENT_INVALID',
        `${named(token)}: want one without a user PIN, got one that has it`,
      );
    }
    await withPin(request.pin, token, (pin) => Promise.resolve(native.initPin(session, pin)));
    await forgetRefusal(request, token);
  });
}

/** Sets the user's PIN, whatever it was: of a user who was revoked, locked out, or whose PIN is lost. */
export async function resetUserPin(request: ProvisioningRequestOf<'resetUserPin'>): Promise<void> {
  const { next, replacesFile } = request;
  await asSecurityOfficer(request, async (native, session, token) => {
    await withPin({ file: next }, token, (pin) => Promise.resolve(native.initPin(session, pin)));
    if (replacesFile !== undefined) await replacePinFile(replacesFile, next);
    await forgetRefusal(request, token);
  });
}

/** Sets the user's PIN to a random one that nobody keeps: nobody logs in any more until the security officer sets another. */
export async function revokeUser(request: ProvisioningRequestOf<'revokeUser'>): Promise<void> {
  await asSecurityOfficer(request, async (native, session, token) => {
    const pin = randomPin(token.maximumPinBytes);
    try {
      native.initPin(session, pin);
    } finally {
      pin.fill(0);
    }
    await forgetRefusal(request, token);
  });
}

/** The token takes what it refused before, when the security officer set just that. */
async function forgetRefusal(
  { stateDirectory }: { readonly stateDirectory: string },
  token: SlotContent,
): Promise<void> {
  await refusedUserPin(stateDirectory, token).clear();
}
