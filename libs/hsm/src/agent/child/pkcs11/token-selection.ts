/** Which slot holds the token that was asked for: by label or serial and CKF_TOKEN_INITIALIZED, never by index. */
import { HsmError } from '../../../errors.js';
import type { TokenSelector } from '../../protocol.js';
import { ck, type Native, type SlotContent } from './native.js';

/**
 * @throws {HsmError} ERR_HSM_UNAVAILABLE | ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS | ERR_HSM_TOKEN_UNINITIALIZED, naming what is there
 */
export function selectToken(native: Native, selector: TokenSelector): SlotContent {
  return choose(
    native.slots().map((slot) => native.slotContent(slot)),
    selector,
  );
}

function choose(slots: readonly SlotContent[], selector: TokenSelector): SlotContent {
  // A module whose device cannot be reached has no slot with a token in it.
  if (slots.length === 0) {
    throw new HsmError('ERR_HSM_UNAVAILABLE', 'want a token in a slot, got none: is the HSM reachable?', {
      retryable: true,
    });
  }
  const wanted = 'label' in selector ? `labelled "${selector.label}"` : `with serial ${selector.serial}`;
  const isInitialized = ({ flags }: SlotContent): boolean => (flags & ck.CKF_TOKEN_INITIALIZED) !== 0;
  const matching = slots.filter((slot) =>
    'label' in selector ? slot.label === selector.label : slot.serial === selector.serial,
  );
  const usable = matching.filter(isInitialized);
  if (usable.length === 1) {
    if ((usable[0].flags & ck.CKF_USER_PIN_INITIALIZED) !== 0) return usable[0];
    throw new HsmError(
      'ERR_HSM_TOKEN_UNINITIALIZED',
      `token ${wanted}: want its user PIN set, got a token without one`,
    );
  }
  if (usable.length > 1) {
    const serials = usable.map(({ serial }) => serial).join(', ');
    throw new HsmError(
      'ERR_HSM_TOKEN_AMBIGUOUS',
      `want one token ${wanted}, got ${usable.length} with serials ${serials}`,
    );
  }
  const initialized = slots.filter(isInitialized);
  if (matching.length > 0 || initialized.length === 0) {
    throw new HsmError(
      'ERR_HSM_TOKEN_UNINITIALIZED',
      `want an initialised token ${wanted}, got only uninitialised ones`,
    );
  }
  const found = initialized.map(({ label, serial }) => `"${label}" (serial ${serial})`).join(', ');
  throw new HsmError('ERR_HSM_TOKEN_NOT_FOUND', `want a token ${wanted}, got ${found}`);
}
