import type { Profile } from '../profile/profile.js';
import type { CertificateRule } from './certificate-intent.js';
import { extensionRules } from './extension-rules.js';
import { fieldRules } from './field-rules.js';
import { publicRules } from './public-rules.js';

/** RFC 5280 as far as profiles can touch it, with what profile and issuer add. */
const rulesOfAll: readonly CertificateRule[] = [...fieldRules, ...extensionRules];
const rulesOfPublic: readonly CertificateRule[] = [...rulesOfAll, ...publicRules];

/** What must hold of every certificate of a profile before it is signed; the Baseline Requirements too, if it asks for that. */
export function certificateRulesFor({ publicStyle }: Pick<Profile, 'publicStyle'>): readonly CertificateRule[] {
  return publicStyle ? rulesOfPublic : rulesOfAll;
}
