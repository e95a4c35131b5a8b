import { z } from 'zod';
import { encodeOid, oids } from '../der/oid.js';

/** Purposes a profile may name instead of their OIDs (RFC 5280 §4.2.1.12; documentSigning: RFC 9336). */
export const purposes = {
  serverAuth: oids.serverAuth,
  clientAuth: oids.clientAuth,
  codeSigning: oids.codeSigning,
  emailProtection: oids.emailProtection,
  ocspSigning: oids.ocspSigning,
  documentSigning: oids.documentSigning,
} as const;

/** Dotted decimal without leading zeros; below 0 and 1 there are 40 arcs (X.690 §8.19.4). */
const oidForm = /^(?:[01]\.(?:\d|[1-3]\d)|2\.(?:0|[1-9]\d*))(?:\.(?:0|[1-9]\d*))*$/;

/**
 * An OID of a size that every implementation takes, and that a CA is not to exceed (RFC 5280 appendix B). What is none, or has arcs
 * beyond all numbers, is encoded by nobody.
 */
export const oidSchema = z
  .string()
  .max(100, { message: 'want at most 100 characters', abort: true })
  .regex(oidForm, { message: 'want an OID', abort: true })
  .refine((oid) => oid.split('.').length <= 20, 'want at most 20 arcs')
  .refine((oid) => oid.split('.').every((arc) => Number(arc) < 2 ** 28), 'want arcs below 2^28')
  // What decoders of a fixed size hold, pkilint's among them.
  .refine((oid) => encodeOid(oid).length <= 39, 'want at most 39 octets');

const purposeNames = Object.keys(purposes) as (keyof typeof purposes)[];

/** A purpose by its name or its OID. */
export const purposeSchema = z.union([z.enum(purposeNames), oidSchema]);

export function purposeOid(purpose: string): string {
  return Object.hasOwn(purposes, purpose) ? purposes[purpose as keyof typeof purposes] : purpose;
}

/**
 * What a certificate is for that it may not be below a CA. Empty where the CA is for anything.
 * @param allowed  of the CA's extendedKeyUsage; undefined: it has none
 */
export function purposesBeyond(purposes: readonly string[], allowed: readonly string[] | undefined): string[] {
  // Whoever signs a CA's OCSP responses is named by that CA itself (RFC 6960 §4.2.2.2), and is for nothing that a CA is limited to.
  return purposes.filter((purpose) => purpose !== oids.ocspSigning && allowed?.includes(purpose) === false);
}
