import { HsmError } from '../errors.js';
import { memberKeyLabel, probeKeyLabel, recoveryKeyLabel } from '../key/key.js';

/** Keys that belong to one token and are made anew on another: they are neither replicated nor backed up. */
export const infrastructureLabels: readonly string[] = [memberKeyLabel, probeKeyLabel, recoveryKeyLabel];

/** Of keys that are made to measure and destroyed at once: no record of their destruction is kept. */
export const measurementKeyPrefix = 'nest-hsm-bench-';

/**
 * That no key which somebody relies on is taken for one of a measurement.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID
 */
export function requireLabelOf(label: string, isMeasurement: boolean): void {
  if (label.startsWith(measurementKeyPrefix) === isMeasurement) return;
  const want = isMeasurement ? `a label that begins` : `no label that begins`;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `label: want ${want} with ${measurementKeyPrefix}, got ${label}`);
}
