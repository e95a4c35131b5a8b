import type { Credential } from '../credential.js';
import { proveAsClient } from './client-proof.js';
import { proveAsServer } from './server-proof.js';

/** What a credential is used as: by a terminator, or by a connector. Certificates say what they are for (RFC 5280 §4.2.1.12). */
export type CredentialPurpose = 'server' | 'client';

/**
 * Proves a credential before peers meet it: for each purpose one whole handshake through the HSM on the loopback interface. Node's own
 * TLS is the peer, which verifies the signature, the chain up to the last certificate that it is sent, validity and purpose.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CERTIFICATE_INVALID, or why the key did not sign
 */
export async function proveByHandshake(
  credential: Credential,
  purposes: readonly CredentialPurpose[] = ['server'],
): Promise<void> {
  for (const purpose of purposes) {
    await (purpose === 'server' ? proveAsServer(credential) : proveAsClient(credential));
  }
}
