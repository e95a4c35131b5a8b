// @peculiar/x509 needs it before it loads.
import 'reflect-metadata';
import { cryptoKeyPair, type Hsm, hsmCrypto, type HsmKey } from '@nest-hsm/hsm';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';

/** RFC 5280 appendix A.1, ub-common-name. */
const longestCommonName = 64;

/** As strong as the curve; the other kinds of key bring their hash with them. */
const ecdsaHashes: Partial<Record<HsmKey['algorithm'], string>> = {
  'ec-p256': 'SHA-256',
  'ec-p384': 'SHA-384',
  'ec-p521': 'SHA-512',
};

export interface RequestedNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/**
 * A certification request (RFC 2986) for a token key, signed on the token: the names as subject alternative names, the
 * first of them as common name too where it fits.
 * @returns PEM
 */
export async function makeCertificateRequest(hsm: Hsm, key: HsmKey, names: RequestedNames): Promise<string> {
  const alternativeNames = new SubjectAlternativeNameExtension([
    ...names.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...names.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ]);
  const [commonName] = [...names.dnsNames, ...names.ipAddresses];
  const keys = cryptoKeyPair(key);
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: commonName.length <= longestCommonName ? [{ CN: [commonName] }] : [],
      keys,
      extensions: [alternativeNames],
      signingAlgorithm: { hash: ecdsaHashes[key.algorithm], ...keys.publicKey.algorithm },
    },
    hsmCrypto(hsm),
  );
  return request.toString('pem');
}
