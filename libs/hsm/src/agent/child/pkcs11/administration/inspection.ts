import type { ProvisioningRequestOf, TokenContents, TokenState } from '../../../../provisioning/protocol.js';
import { withLoginLock } from '../../pin/login-lock.js';
import type { RefusedPinRecord } from '../../pin/refused-pin.js';
import { ensureStateDirectory } from '../../pin/state-directory.js';
import { Login } from '../login.js';
import { supportedNames } from '../mechanism.js';
import { endQuietly, loadModule } from '../module.js';
import { ck, type Native, ReturnValueError, type SessionHandle, type SlotContent } from '../native.js';
import { refusedSecurityOfficerPin, refusedUserPin } from '../pin-attempt.js';
import { toHsmError } from '../return-value.js';
import { vendorProfile } from '../vendor-profile.js';
import { allTokens, has, initialisedToken, type ModuleSettings, withModule } from './administered-token.js';

/** Every token that the module shows, initialised or not. No login. */
export async function inspectTokens(settings: ModuleSettings): Promise<TokenState[]> {
  return withModule(settings, (native) =>
    Promise.all(allTokens(native).map((token) => tokenState(settings.stateDirectory, token))),
  );
}

/** The private and secret keys of a token, of whatever program; without a PIN those that anybody may see. */
export async function listKeys(request: ProvisioningRequestOf<'list'>): Promise<TokenContents> {
  const { module, stateDirectory, pin } = request;
  await ensureStateDirectory(stateDirectory);
  const native = await withLoginLock(stateDirectory, () => Promise.resolve(loadModule(module)));
  try {
    const token = initialisedToken(native, request.token);
    const mechanisms = supportedNames(vendorProfile('auto', token), native.mechanisms(token.slot));
    if (pin === undefined) return { mechanisms, keys: keysSeen(native, native.openSession(token.slot)) };
    const login = new Login(native, token, pin, stateDirectory);
    await login.restore(login.generation);
    return { mechanisms, keys: await login.onSession((session) => Promise.resolve(keysSeen(native, session))) };
  } catch (error) {
    throw error instanceof ReturnValueError ? toHsmError(error, new Set()) : error;
  } finally {
    endQuietly(native);
  }
}

function keysSeen(native: Native, session: SessionHandle): TokenContents['keys'] {
  const keys = [ck.CKO_PRIVATE_KEY, ck.CKO_SECRET_KEY].flatMap((value) =>
    native.findObjects(session, [{ type: ck.CKA_CLASS, value }]),
  );
  return keys.map((key) => {
    const [id, label] = native.attributes(session, key, [ck.CKA_ID, ck.CKA_LABEL]);
    return { id: id.toString('hex'), label: label.toString('utf8') };
  });
}

async function tokenState(stateDirectory: string, token: SlotContent): Promise<TokenState> {
  const { label, serial, manufacturer, model } = token;
  const isInitialised = has(token, ck.CKF_TOKEN_INITIALIZED);
  const pinState = async (names: readonly PinFlag[], record: RefusedPinRecord): Promise<TokenState['userPin']> => {
    // SoftHSM calls the SO PIN of a token that was never initialised locked; there is none.
    if (!isInitialised) return { warnings: [] };
    return { warnings: names.filter((name) => has(token, ck[name])), refusedAt: await record.refusedAt() };
  };
  return {
    label,
    serial,
    manufacturer,
    model,
    isInitialised,
    hasUserPin: has(token, ck.CKF_USER_PIN_INITIALIZED),
    userPin: await pinState(userPinFlags, refusedUserPin(stateDirectory, token)),
    securityOfficerPin: await pinState(securityOfficerPinFlags, refusedSecurityOfficerPin(stateDirectory, token)),
  };
}

const userPinFlags = [
  'CKF_USER_PIN_COUNT_LOW',
  'CKF_USER_PIN_FINAL_TRY',
  'CKF_USER_PIN_LOCKED',
  'CKF_USER_PIN_TO_BE_CHANGED',
] as const;
const securityOfficerPinFlags = [
  'CKF_SO_PIN_COUNT_LOW',
  'CKF_SO_PIN_FINAL_TRY',
  'CKF_SO_PIN_LOCKED',
  'CKF_SO_PIN_TO_BE_CHANGED',
] as const;
type PinFlag = (typeof userPinFlags)[number] | (typeof securityOfficerPinFlags)[number];
