/** Which slot holds the token that was asked for: by label or serial and CKF_TOKEN_INITIALIZED, never by index. */
import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../../../errors.js';
import type { TokenSelector } from '../../protocol.js';
import { ck, type Native, ReturnValueError, type SlotContent } from './native.js';

const attempts = 5;
const pauseMilliseconds = 40;
const passingCodes: ReadonlySet<string> = new Set(['ERR_HSM_TOKEN_NOT_FOUND', 'ERR_HSM_UNAVAILABLE']);

/**
 * @throws {HsmError} ERR_HSM_UNAVAILABLE | ERR_HSM_TOKEN_NOT_FOUND | ERR_HSM_TOKEN_AMBIGUOUS | ERR_HSM_TOKEN_UNINITIALIZED, naming what is there
 */
export async function selectToken(native: Native, selector: TokenSelector): Promise<SlotContent> {
  // Several processes starting on one SoftHSM token sometimes see it half-written (CKR_TOKEN_NOT_RECOGNIZED).
  for (let attempt = 1; ; attempt++) {
    try {
      const contents = native.slots().map((slot) => native.slotContent(slot));
      return choose(contents, selector);
    } catch (error) {
      const isPassing =
        error instanceof ReturnValueError || (error instanceof HsmError && passingCodes.has(error.code));
      if (!isPassing || attempt === attempts) throw error;
      await pause(pauseMilliseconds * attempt);
    }
  }
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
