import { z } from 'zod';
import { oids } from '../der/oid.js';

/** Purposes a profile may name instead of their OIDs (RFC 5280 §4.2.1.12; documentSigning: RFC 9336). */
export const purposes = {
  serverAuth: oids.serverAuth,
  clientAuth: oids.clientAuth,
  codeSigning: oids.codeSigning,
  emailProtection: oids.emailProtection,
  ocspSigning: oids.ocspSigning,
  documentSigning: oids.documentSigning,
} as const;

/** Dotted decimal, at least two arcs, without leading zeros. */
export const oidForm = /^[0-2](?:\.(?:0|[1-9]\d{0,14})){1,20}$/;

const purposeNames = Object.keys(purposes) as (keyof typeof purposes)[];

/** A purpose by its name or its OID. */
export const purposeSchema = z.union([z.enum(purposeNames), z.string().regex(oidForm, 'want a purpose or an OID')]);

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
