import { CaError } from '../errors.js';
import { signatureFault, type VerificationKey } from '../issuance/signature-fault.js';
import type { CertificationRequest } from './csr.js';

/**
 * Checks that whoever asks holds the private key: the request is signed with it (RFC 2986 §4.2).
 * @throws {CaError} ERR_CA_CSR_SIGNATURE_INVALID | ERR_CA_CSR_MALFORMED when OpenSSL cannot load the key |
 * ERR_CA_VERIFICATION_UNAVAILABLE
 */
export async function verifyProofOfPossession(request: CertificationRequest, key: VerificationKey): Promise<void> {
  const { info: octets, signatureAlgorithm: algorithm, signature } = request;
  const fault = await signatureFault({ octets, algorithm, signature }, key);
  if (fault !== undefined) throw new CaError('ERR_CA_CSR_SIGNATURE_INVALID', `CSR signature: ${fault}`);
}
