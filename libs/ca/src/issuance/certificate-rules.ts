import type { CertificateRule } from './certificate-intent.js';
import { extensionRules } from './extension-rules.js';
import { fieldRules } from './field-rules.js';
import { publicRules } from './public-rules.js';

/**
 * What must hold of every certificate before it is signed: RFC 5280 as far as profiles can touch it, with what profile and issuer
 * add; the Baseline Requirements for a profile that asks to be held against them.
 */
export const certificateRules: readonly CertificateRule[] = [...fieldRules, ...extensionRules, ...publicRules];
