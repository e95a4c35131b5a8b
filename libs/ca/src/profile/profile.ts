import { createHash } from 'node:crypto';
import { oids } from '../der/oid.js';

/** Bit positions of KeyUsage (RFC 5280 §4.2.1.3). */
export const keyUsageBits = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const;
export type KeyUsageBit = keyof typeof keyUsageBits;

/** What a kind of certificate looks like, whoever it is for. Immutable; a change of any field is another `version`. */
export interface Profile {
  readonly name: string;
  /** SHA-256 of the content in hexadecimal, bound into issuance tickets. */
  readonly version: string;
  readonly validityDays: number;
  readonly keyUsage: readonly KeyUsageBit[];
  /** OIDs; empty: the extension is left out. */
  readonly extendedKeyUsage: readonly string[];
  /** A CA certificate, and how many CAs may follow below it; absent for an end entity. */
  readonly authority?: { readonly pathLength?: number };
}

/** Profiles a requester may name. */
export const profileNames = ['tls-server', 'tls-client'] as const;
export type ProfileName = (typeof profileNames)[number];

/** Days an end-entity certificate is valid when the configuration does not say. */
export const defaultValidityDays = 90;

/** TLS keys sign and never encrypt: every cipher suite still in use is ephemeral (RFC 9325 §4.1). */
export function tlsProfile(name: ProfileName, validityDays: number): Profile {
  const extendedKeyUsage = [name === 'tls-server' ? oids.serverAuth : oids.clientAuth];
  return seal({ name, validityDays, keyUsage: ['digitalSignature'], extendedKeyUsage });
}

export function rootProfile(validityDays: number): Profile {
  return seal({
    name: 'root-ca',
    validityDays,
    keyUsage: ['keyCertSign', 'cRLSign'],
    extendedKeyUsage: [],
    authority: {},
  });
}

/** Signs end entities only. */
export function issuingProfile(validityDays: number): Profile {
  return seal({
    name: 'issuing-ca',
    validityDays,
    keyUsage: ['keyCertSign', 'cRLSign'],
    extendedKeyUsage: [],
    authority: { pathLength: 0 },
  });
}

function seal(content: Omit<Profile, 'version'>): Profile {
  const version = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  const { keyUsage, extendedKeyUsage, authority } = content;
  Object.freeze(keyUsage);
  Object.freeze(extendedKeyUsage);
  if (authority !== undefined) Object.freeze(authority);
  return Object.freeze({ ...content, version });
}
