import type { KeyObject } from 'node:crypto';
import { CaError } from '../errors.js';
import { signatureFault } from '../issuance/signature-fault.js';
import type { CertificationRequest } from './csr.js';

/**
 * Checks that whoever asks holds the private key: the request is signed with it (RFC 2986 §4.2).
 * @throws {CaError} ERR_CA_CSR_SIGNATURE_INVALID
 */
export async function verifyProofOfPossession(request: CertificationRequest, publicKey: KeyObject): Promise<void> {
  const { info: octets, signatureAlgorithm: algorithm, signature } = request;
  const fault = await signatureFault({ octets, algorithm, signature }, publicKey);
  if (fault !== undefined) throw new CaError('ERR_CA_CSR_SIGNATURE_INVALID', `CSR signature: ${fault}`);
}
