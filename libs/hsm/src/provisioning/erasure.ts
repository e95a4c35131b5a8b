/** Whether a token may be initialised although it was in use: what it holds is gone then. */
import { HsmError } from '../errors.js';
import { probeKeyLabel } from '../key/key.js';
import { memberKeyLabel } from '../keyring/enrolment.js';
import type { TokenContents, TokenState } from './protocol.js';

/** What whoever provisions said about tokens that hold keys. */
export interface ErasureConsent {
  /** Labels of the tokens whose keys are to be destroyed, backed up or not. */
  readonly destroyKeys: readonly string[];
}

/** Made anew on every token, so nothing is lost with them. */
const ownLabels: ReadonlySet<string> = new Set([probeKeyLabel, memberKeyLabel]);

/**
 * @param contents  undefined when nobody could look: then it may hold anything
 * @throws {HsmError} ERR_HSM_TOKEN_HOLDS_KEYS
 */
export function assertMayErase(
  { label, serial, hasUserPin }: TokenState,
  contents: TokenContents | undefined,
  { destroyKeys }: ErasureConsent,
): void {
  const keys = contents?.keys.filter((key) => !ownLabels.has(key.label));
  // Without a user there is nobody whose private objects it could hold.
  const isEmpty = keys === undefined ? !hasUserPin : keys.length === 0;
  if (isEmpty || destroyKeys.includes(label)) return;
  const what = keys === undefined ? 'may hold keys, which nobody could look for' : `holds ${keys.length} keys`;
  throw new HsmError(
    'ERR_HSM_TOKEN_HOLDS_KEYS',
    `token "${label}" (serial ${serial}) ${what}: want --destroy-keys ${JSON.stringify(label)} to initialise it`,
  );
}
