/** What a member lacks until it can serve: decided from what was seen of it, and from nothing else. */
import { probeKeyLabel } from '../key/key.js';
import { memberKeyLabel } from '../key/key.js';
import type { TokenContents, TokenState } from './protocol.js';

/** In the order in which they are done. Initialising a token sets the security officer's PIN. */
export const provisioningSteps = [
  'make SO PIN file',
  'make user PIN file',
  'initialise token and set SO PIN',
  'set user PIN',
  'make member key',
  'make probe key',
] as const;
export type ProvisioningStep = (typeof provisioningSteps)[number];

export interface Observation {
  /** The member's token; undefined when there is none yet, or when it is to be initialised anew. */
  readonly token: TokenState | undefined;
  /** Of the token, where it has a user PIN. */
  readonly contents: TokenContents | undefined;
  readonly hasSecurityOfficerPin: boolean;
  readonly hasUserPin: boolean;
  /** Whether keys are replicated wrapped: only then it needs a key to take them in with. */
  readonly needsMemberKey: boolean;
}

export function missingSteps(seen: Observation): ProvisioningStep[] {
  const isUnready = seen.token?.hasUserPin !== true;
  const missing: Readonly<Record<ProvisioningStep, boolean>> = {
    // A token that was initialised has one already, which no new file would have.
    'make SO PIN file': seen.token === undefined && !seen.hasSecurityOfficerPin,
    'make user PIN file': isUnready && !seen.hasUserPin,
    'initialise token and set SO PIN': seen.token === undefined,
    'set user PIN': isUnready,
    'make member key': seen.needsMemberKey && !hasKey(seen, memberKeyLabel),
    'make probe key': !hasKey(seen, probeKeyLabel) && mayHaveProbeKey(seen),
  };
  return provisioningSteps.filter((step) => missing[step]);
}

function hasKey({ contents }: Observation, label: string): boolean {
  return contents?.keys.some((key) => key.label === label) ?? false;
}

/** A token without ECDSA is probed otherwise. Of one that cannot be asked yet it is not known. */
function mayHaveProbeKey({ contents }: Observation): boolean {
  return contents === undefined || contents.mechanisms.includes('ec-p256');
}
