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
