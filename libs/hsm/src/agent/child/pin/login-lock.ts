import { join } from 'node:path';
import { withProcessLock } from '../../../process-lock.js';

/**
 * Runs `work` while no other process of this machine that uses the same state directory does. Logins are serialised this
 * way because SoftHSM rewrites `token.object` in place during C_Login: two at once, or one killed half-way, lose the token.
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID | ERR_HSM_UNAVAILABLE
 */
export function withLoginLock<T>(stateDirectory: string, work: () => Promise<T>): Promise<T> {
  return withProcessLock(join(stateDirectory, 'login.lock'), work);
}
