/** The thread that verifies signatures: each message is a batch of checks, and each is answered with their outcomes in order. */
import { parentPort } from 'node:worker_threads';
import { checkOutcomes, decodeChecks } from './signature-check.js';
import { SignatureChecker } from './signature-checker.js';

const checker = new SignatureChecker();

parentPort?.on('message', (encoded: Uint8Array) => {
  const checks = decodeChecks(Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length));
  const outcomes = Uint8Array.from(checks, (check) => checkOutcomes.indexOf(checker.check(check)));
  parentPort?.postMessage(outcomes);
});
