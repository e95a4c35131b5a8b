import { z } from 'zod';
import type { Negotiation } from './addon.js';
import { cipherSuites, defaultGroups, isTls13Suite, keyExchangeGroups, signatureAlgorithms } from './algorithms.js';

/** In order of preference. */
export const preferences = <const Name extends string>(names: readonly Name[], defaults: readonly Name[] = names) =>
  z
    .array(z.enum(names))
    .min(1)
    .refine((list) => new Set(list).size === list.length, { message: 'want each once' })
    .default([...defaults]);

/** What may be negotiated, whichever end is ours. */
export const negotiationShape = {
  minimumVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
  /** Peers of TLS 1.2 are refused when none of theirs is listed. A client that prefers ChaCha20 gets it (no AES in hardware). */
  cipherSuites: preferences(cipherSuites).refine((suites) => suites.some(isTls13Suite), {
    message: 'want one of TLS 1.3 at least',
  }),
  groups: preferences(keyExchangeGroups, defaultGroups),
  /** What we sign with, as far as the keys can, and take of peers' certificates. */
  signatureAlgorithms: preferences(signatureAlgorithms),
};
export type ParsedNegotiation = Readonly<z.output<z.ZodObject<typeof negotiationShape>>>;

/** The same in OpenSSL's lists. */
export function negotiationOf(config: ParsedNegotiation): Negotiation {
  const ciphersTls12 = config.cipherSuites.filter((suite) => !isTls13Suite(suite)).join(':');
  return {
    tls13Only: config.minimumVersion === 'TLSv1.3' || ciphersTls12 === '',
    ciphersTls12,
    ciphersTls13: config.cipherSuites.filter(isTls13Suite).join(':'),
    groups: config.groups.join(':'),
    signatureAlgorithms: config.signatureAlgorithms.join(':'),
  };
}
