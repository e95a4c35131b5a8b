import { constants, createECDH, createHash, type KeyObject, privateEncrypt, randomBytes, sign } from 'node:crypto';
import { type HsmKey, type SignatureScheme, signatureSchemes } from '@nest-hsm/hsm';
import type { HandshakeSigner, HandshakeSignOptions } from '../src/handshake-signer.js';

/** What the token does for a handshake, done in software: signs a digest, or for Ed25519 the message. */
export function signInSoftware(privateKey: KeyObject, scheme: SignatureScheme, data: Uint8Array): Buffer {
  const facts = signatureSchemes[scheme];
  switch (facts.family) {
    case 'edwards':
      return sign(null, data, privateKey);
    case 'ec':
      return signEcdsa(privateKey, data);
    case 'rsa':
      return facts.padding === 'pss' ? signPss(privateKey, facts.hash, data) : signPkcs1(privateKey, facts.hash, data);
  }
}

/** A signer whose answers a test may delay, spoil or withhold. */
export class SoftwareSigner implements HandshakeSigner {
  /** Calls made so far, and how many of them were aborted. */
  calls = 0;
  aborted = 0;
  /** What a call waits for before it answers. */
  before: (options: HandshakeSignOptions) => Promise<void> = () => Promise.resolve();

  constructor(private readonly privateKeys: ReadonlyMap<string, KeyObject>) {}

  async sign(key: HsmKey, scheme: SignatureScheme, data: Uint8Array, options: HandshakeSignOptions): Promise<Buffer> {
    this.calls++;
    options.signal.addEventListener('abort', () => this.aborted++);
    await this.before(options);
    const privateKey = this.privateKeys.get(key.id);
    if (privateKey === undefined) throw new Error(`no key ${key.id}`);
    return signInSoftware(privateKey, scheme, data);
  }
}

const curves = {
  prime256v1: {
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    bytes: 32,
    ecdh: 'prime256v1',
  },
  secp384r1: {
    order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    bytes: 48,
    ecdh: 'secp384r1',
  },
  secp521r1: {
    order:
      0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    bytes: 66,
    ecdh: 'secp521r1',
  },
} as const;

/** FIPS 186-5 §6.4.1, the nonce's point taken from ECDH. For tests: not in constant time. */
function signEcdsa(privateKey: KeyObject, digest: Uint8Array): Buffer {
  const jwk = privateKey.export({ format: 'jwk' });
  const curve = curves[privateKey.asymmetricKeyDetails?.namedCurve as keyof typeof curves];
  const secret = toInteger(Buffer.from(jwk.d ?? '', 'base64url'));
  const excess = BigInt(Math.max(0, digest.length * 8 - curve.order.toString(2).length));
  const hash = toInteger(digest) >> excess;
  const nonce = (toInteger(randomBytes(curve.bytes + 8)) % (curve.order - 1n)) + 1n;
  const ecdh = createECDH(curve.ecdh);
  ecdh.setPrivateKey(Buffer.from(nonce.toString(16).padStart(curve.bytes * 2, '0'), 'hex'));
  const r = toInteger(ecdh.getPublicKey().subarray(1, 1 + curve.bytes)) % curve.order;
  const s = (inverse(nonce, curve.order) * ((hash + r * secret) % curve.order)) % curve.order;
  return der(0x30, Buffer.concat([derInteger(r), derInteger(s)]));
}

const digestInfoPrefixes = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
} as const;

/** RFC 8017 §8.2.1 */
function signPkcs1(key: KeyObject, hash: keyof typeof digestInfoPrefixes, digest: Uint8Array): Buffer {
  const digestInfo = Buffer.concat([Buffer.from(digestInfoPrefixes[hash], 'hex'), digest]);
  return privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, digestInfo);
}

/** RFC 8017 §9.1.1, the salt as long as the digest. */
function signPss(key: KeyObject, hash: string, digest: Uint8Array): Buffer {
  const bytes = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const salt = randomBytes(digest.length);
  const h = createHash(hash)
    .update(Buffer.concat([Buffer.alloc(8), digest, salt]))
    .digest();
  const block = Buffer.concat([Buffer.alloc(bytes - 2 * digest.length - 2), Buffer.from([1]), salt]);
  const masked = xor(block, mask(hash, h, block.length));
  masked[0] &= 0x7f;
  return privateEncrypt({ key, padding: constants.RSA_NO_PADDING }, Buffer.concat([masked, h, Buffer.from([0xbc])]));
}

function mask(hash: string, seed: Uint8Array, bytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; blocks.length * seed.length < bytes; counter++) {
    blocks.push(
      createHash(hash)
        .update(seed)
        .update(Buffer.from([0, 0, 0, counter]))
        .digest(),
    );
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}

function xor(left: Uint8Array, right: Uint8Array): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ right[index]));
}

function toInteger(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}

function derInteger(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return der(0x02, bytes[0] >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

function der(tag: number, content: Buffer): Buffer {
  const length = content.length < 128 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
