import { memberKeyLabel, probeKeyLabel, recoveryKeyLabel } from '../key/key.js';

/** Keys that belong to one token and are made anew on another: they are neither replicated nor backed up. */
export const infrastructureLabels: readonly string[] = [memberKeyLabel, probeKeyLabel, recoveryKeyLabel];

/** Of keys that are made to measure and destroyed at once: no record of their destruction is kept. */
export const measurementKeyPrefix = 'nest-hsm-bench-';
