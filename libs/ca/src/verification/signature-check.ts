/** Whether a signature was made with the private half of a key. */
export interface SignatureCheck {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** An issuer's key, of which there are few and which signs again: it stays loaded. */
  readonly isLasting: boolean;
  /** Null where the scheme hashes by itself. */
  readonly hash: string | null;
  /** RSASSA-PSS with MGF1 of the same hash and a salt as long as it (RFC 4055 §3.1). */
  readonly isPss: boolean;
  /** What was signed. */
  readonly octets: Uint8Array;
  readonly signature: Uint8Array;
}

/** `key-unusable`: OpenSSL cannot load it, since its point is not on its curve, or has no such scheme for it. */
export const checkOutcomes = ['unsound', 'sound', 'key-unusable'] as const;
export type CheckOutcome = (typeof checkOutcomes)[number];

const flags = { lasting: 1, pss: 2 } as const;
const lengthBytes = 4;

/**
 * Checks as octets that are handed over rather than copied: of each u8 flags, then key, hash, message and signature, each with its
 * u32 length before it.
 * @returns the whole of an ArrayBuffer of its own
 */
export function encodeChecks(checks: readonly SignatureCheck[]): Buffer {
  const fields = checks.map(fieldsOf);
  const bytes = fields.flat().reduce((sum, field) => sum + lengthBytes + field.length, checks.length);
  const encoded = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  checks.forEach(({ isLasting, isPss }, index) => {
    at = encoded.writeUInt8((isLasting ? flags.lasting : 0) | (isPss ? flags.pss : 0), at);
    for (const field of fields[index]) {
      at = encoded.writeUInt32LE(field.length, at);
      encoded.set(field, at);
      at += field.length;
    }
  });
  return encoded;
}

/** @param encoded  as `encodeChecks` returned it; what is returned are views into it */
export function* decodeChecks(encoded: Buffer): Generator<SignatureCheck, void, undefined> {
  let at = 0;
  const field = (): Buffer => {
    const start = at + lengthBytes;
    at = start + encoded.readUInt32LE(at);
    return encoded.subarray(start, at);
  };
  while (at < encoded.length) {
    const flag = encoded[at++];
    const [spki, hash, octets, signature] = [field(), field(), field(), field()];
    yield {
      spki,
      isLasting: (flag & flags.lasting) !== 0,
      hash: hash.length === 0 ? null : hash.toString('latin1'),
      isPss: (flag & flags.pss) !== 0,
      octets,
      signature,
    };
  }
}

function fieldsOf({ spki, hash, octets, signature }: SignatureCheck): Uint8Array[] {
  return [spki, Buffer.from(hash ?? '', 'latin1'), octets, signature];
}
