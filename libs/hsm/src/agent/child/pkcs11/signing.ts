/** Signatures and MACs: digest, sign on the token, check, format. */
import { constants, hash as hashOnce, publicDecrypt, verify, type KeyObject } from 'node:crypto';
import { digestInfo } from '../../../algorithm/encoding-digest-info.js';
import { ecdsaSignatureToDer } from '../../../algorithm/encoding-ecdsa-signature.js';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { signatureSchemes } from '../../../algorithm/signature-scheme.js';
import { HsmError } from '../../../errors.js';
import type { Answer, Received } from '../../protocol.js';
import type { Operation } from '../audit-trail.js';
import type { KeyObjects, TokenKey } from './key-inspection.js';
import { hmacMechanism, signatureMechanism } from './mechanism.js';
import type { SessionHandle } from './native.js';
import { verifyPssEncoding } from './pss-encoding.js';
import type { Token } from './token.js';
import { copyOf } from './token-calls.js';

const macBytes = 32;

/**
 * @returns RSA: of the modulus's length; ECDSA: DER or r ‖ s as `format` says; Ed25519: 64 bytes
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_SIGNATURE_INVALID
 */
export function sign(
  { native }: Token,
  session: SessionHandle,
  key: TokenKey,
  request: Received<'sign'>,
  operation: Operation,
): Promise<Answer<'sign'>> {
  const { scheme, format } = request;
  const { toSign, digest, signatureBytes, isValid } = signatureInput(key, request, operation.digest);
  operation.digest = digest;
  return native.sign(session, signatureMechanism(scheme), key.handle, toSign, signatureBytes, (signature) => {
    if (signature.length !== signatureBytes || !isValid(signature)) {
      throw new HsmError(
        'ERR_HSM_SIGNATURE_INVALID',
        `key "${key.label}": the token returned a signature that does not verify`,
        { retryable: true },
      );
    }
    const isDer = format === 'der' && signatureSchemes[scheme].family === 'ec';
    return { signature: isDer ? ecdsaSignatureToDer(signature) : copyOf(signature) };
  });
}

/** What the audit trail says was signed: its hash under the scheme, or SHA-512 for Ed25519, which signs messages. */
export function signedDigest({ scheme, input, data }: Received<'sign'>): Buffer {
  const { family, ...facts } = signatureSchemes[scheme];
  if (input === 'digest') return data;
  return hashOnce(family === 'edwards' ? 'sha512' : (facts as { hash: string }).hash, data, 'buffer');
}

/** HMAC-SHA-256 (RFC 2104), 32 bytes. */
export function mac({ native }: Token, session: SessionHandle, { handle }: KeyObjects, data: Buffer): Promise<Buffer> {
  return native.sign(session, hmacMechanism, handle, data, macBytes, copyOf);
}

interface SignatureInput {
  readonly toSign: Buffer;
  /** What is signed, as the audit trail names it. */
  readonly digest?: Buffer;
  readonly signatureBytes: number;
  /** The check in software before a signature is released; trivially true where none was asked for. */
  readonly isValid: (signature: Buffer) => boolean;
}

/** @param known  what a message was hashed to before, for the audit trail or for an earlier try */
function signatureInput(key: TokenKey, request: Received<'sign'>, known?: Buffer): SignatureInput {
  const scheme = signatureSchemes[request.scheme];
  const algorithm = keyAlgorithms[key.algorithm];
  const { publicKey } = key;
  if (scheme.family !== algorithm.family || !publicKey) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `scheme ${request.scheme}: want a key of its family, got ${key.algorithm}`,
    );
  }
  const { data } = request;
  switch (scheme.family) {
    case 'rsa': {
      const signatureBytes = (algorithm as { modulusBits: number }).modulusBits / 8;
      const digest = digestOf(request, scheme.digestBytes, known);
      if (scheme.padding === 'pkcs1') {
        const toSign = digestInfo(scheme.hash, digest);
        return { toSign, digest, signatureBytes, isValid: (signature) => recoversTo(publicKey, signature, toSign) };
      }
      const isValid = (signature: Buffer): boolean =>
        verifyPssEncoding(scheme.hash, digest, recover(publicKey, signature, constants.RSA_NO_PADDING));
      return { toSign: digest, digest, signatureBytes, isValid };
    }
    case 'ec': {
      const signatureBytes = 2 * (algorithm as { coordinateBytes: number }).coordinateBytes;
      const digest = digestOf(request, scheme.digestBytes, known);
      if (!request.verify) return { toSign: digest, digest, signatureBytes, isValid: () => true };
      if (request.input === 'digest') {
        // Neither node:crypto nor WebCrypto verifies ECDSA over a digest; whoever has the message can.
        throw new HsmError(
          'ERR_HSM_ARGUMENT_INVALID',
          'verify: want the message, got the digest of an ECDSA signature',
        );
      }
      const check = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
      return {
        toSign: digest,
        digest,
        signatureBytes,
        isValid: (signature) => verify(scheme.hash, data, check, signature),
      };
    }
    case 'edwards': {
      if (request.input === 'digest') {
        throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'ed25519: want the message, got a digest');
      }
      const isValid = (signature: Buffer): boolean => !request.verify || verify(null, data, publicKey, signature);
      return { toSign: data, digest: known ?? signedDigest(request), signatureBytes: 64, isValid };
    }
  }
}

function digestOf(request: Received<'sign'>, digestBytes: number, known: Buffer | undefined): Buffer {
  if (request.input === 'message') return known ?? signedDigest(request);
  const { data } = request;
  if (data.length === digestBytes) return data;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `digest: want ${digestBytes} bytes, got ${data.length}`);
}

function recoversTo(publicKey: KeyObject, signature: Buffer, expected: Buffer): boolean {
  return recover(publicKey, signature, constants.RSA_PKCS1_PADDING)?.equals(expected) ?? false;
}

function recover(publicKey: KeyObject, signature: Buffer, padding: number): Buffer | undefined {
  try {
    return publicDecrypt({ key: publicKey, padding }, signature);
  } catch {
    return undefined;
  }
}
