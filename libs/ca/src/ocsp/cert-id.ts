import { createHash } from 'node:crypto';
import { parseDer } from '../der/der-reader.js';
import { der } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import type { Issuer } from '../issuance/issuer.js';
import type { CertIdHash } from '../store/ocsp-store.js';

/** What an issuer's CertIDs (RFC 6960 §4.1.1) begin with, under one hash. */
export interface IssuerHashes {
  readonly hash: CertIdHash;
  readonly nameHash: Buffer;
  readonly keyHash: Buffer;
  /** All but the serial in DER: hashAlgorithm, issuerNameHash and issuerKeyHash. */
  readonly encoded: Buffer;
}

const hashOids: Readonly<Record<CertIdHash, string>> = { sha1: oids.sha1, sha256: oids.sha256 };
export const certIdHashes = Object.keys(hashOids) as readonly CertIdHash[];

/** @returns undefined for a hash that is not answered */
export function certIdHashOf(oid: string): CertIdHash | undefined {
  return certIdHashes.find((hash) => hashOids[hash] === oid);
}

export function issuerHashes(
  { name, subjectPublicKeyInfo }: Pick<Issuer, 'name' | 'subjectPublicKeyInfo'>,
  hash: CertIdHash,
): IssuerHashes {
  const nameHash = createHash(hash).update(name).digest();
  const keyHash = publicKeyHash(subjectPublicKeyInfo, hash);
  // With NULL parameters, as every client in use writes them, so that those who compare octets find their own.
  const encoded = der((writer) =>
    writer
      .sequence(() => writer.oid(hashOids[hash]).null())
      .octetString(nameHash)
      .octetString(keyHash),
  );
  return { hash, nameHash, keyHash, encoded };
}

/** Of the BIT STRING's value, without its tag, length and count of unused bits. */
export function publicKeyHash(subjectPublicKeyInfo: Buffer, hash: CertIdHash): Buffer {
  const [, publicKey] = parseDer(subjectPublicKeyInfo).children;
  return createHash(hash).update(publicKey.content.subarray(1)).digest();
}

/** DER of a CertID. @param serial  hexadecimal */
export function encodeCertId({ encoded }: IssuerHashes, serial: string): Buffer {
  return der((writer) => writer.sequence(() => writer.raw(encoded).unsignedInteger(Buffer.from(serial, 'hex'))));
}
