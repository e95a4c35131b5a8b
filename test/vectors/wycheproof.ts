import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Wycheproof vectors (github.com/C2SP/wycheproof, Apache-2.0). They are read from a folder outside the repository and never
 * copied into it: NEST_HSM_VECTORS, else ../shared/vectors beside the repository. Where the folder is absent, the
 * suites that need it are skipped, and say so.
 */
const folder = join(
  process.env.NEST_HSM_VECTORS ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url)),
  'wycheproof',
);

export const vectorsPresent = existsSync(folder);

/** `acceptable`: legal but discouraged; a conforming implementation may refuse it. */
export type VectorResult = 'valid' | 'invalid' | 'acceptable';

interface Vector {
  readonly tcId: number;
  readonly comment: string;
  readonly result: VectorResult;
}

/** Byte strings are hexadecimal. */
export interface AeadVector extends Vector {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}
export interface MacVector extends Vector {
  readonly key: string;
  readonly msg: string;
  readonly tag: string;
}
export interface KeywrapVector extends Vector {
  readonly key: string;
  readonly msg: string;
  readonly ct: string;
}
export interface SignatureVector extends Vector {
  readonly msg: string;
  readonly sig: string;
}

interface Group<V extends Vector> {
  /** DER SubjectPublicKeyInfo of a signature group. */
  readonly publicKeyDer: string;
  readonly keySize: number;
  readonly ivSize: number;
  readonly tagSize: number;
  readonly tests: readonly V[];
}

/** The file of the vectors, without `_test.json`, and the kind of vector in it. */
interface VectorFiles {
  aes_gcm: AeadVector;
  hmac_sha256: MacVector;
  aes_wrap: KeywrapVector;
  aes_kwp: KeywrapVector;
  ecdsa_secp256r1_sha256: SignatureVector;
  ecdsa_secp256r1_sha256_p1363: SignatureVector;
  ecdsa_secp384r1_sha384: SignatureVector;
  ed25519: SignatureVector;
  rsa_signature_2048_sha256: SignatureVector;
  rsa_pss_2048_sha256_mgf1_32: SignatureVector;
}

/** The groups of one file; none where the folder is absent. */
export function readVectors<F extends keyof VectorFiles>(file: F): readonly Group<VectorFiles[F]>[] {
  if (!vectorsPresent) return [];
  const content = JSON.parse(readFileSync(join(folder, `${file}_test.json`), 'utf8')) as {
    testGroups: Group<VectorFiles[F]>[];
  };
  return content.testGroups;
}
