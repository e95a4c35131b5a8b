import { verify } from 'node:crypto';
import { promisify } from 'node:util';
import type { CheckOutcome, SignatureCheck } from './signature-check.js';
import { keyFor, loadPublicKey } from './signature-checker.js';
import { VerificationThread } from './verification-thread.js';

/** What is longer, a CRL, is not copied for the thread. */
const maximumCopiedBytes = 65_536;

/** One for the process, as its pool of threads is; it starts with the first check. */
const thread = new VerificationThread();
const verifyInPool = promisify(verify);

/**
 * Verifies a signature while the event loop does something else: it takes longer than everything else that is decided about what is
 * signed.
 * @throws {CaError} ERR_CA_VERIFICATION_UNAVAILABLE
 */
export async function verifyOffLoop(check: SignatureCheck): Promise<CheckOutcome> {
  const { spki, hash, isPss, octets, signature } = check;
  if (octets.length <= maximumCopiedBytes) return thread.check(check);
  return (await verifyInPool(hash, octets, keyFor(isPss, loadPublicKey(spki)), signature)) ? 'sound' : 'unsound';
}
