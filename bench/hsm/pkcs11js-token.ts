import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pkcs11js from 'pkcs11js';
import type { SigningTask } from './task.js';

/** The DigestInfo head of SHA-256 (RFC 8017 §9.2): CKM_RSA_PKCS pads what it gets and hashes nothing. */
const digestInfoHead = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** The token of a task, opened with pkcs11js in this process, and what is signed with its key. */
export function openToken(task: SigningTask, sessionCount: number) {
  const module = new pkcs11js.PKCS11();
  module.load(task.token.module);
  module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
  const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trim() === task.token.label);
  if (slot === undefined) throw new Error(`bench: no token ${task.token.label}`);

  const flags = pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION;
  const sessions = Array.from({ length: sessionCount }, () => module.C_OpenSession(slot, flags));
  module.C_Login(sessions[0], pkcs11js.CKU_USER, readFileSync(task.token.pinFile, 'utf8'));
  module.C_FindObjectsInit(sessions[0], [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    { type: pkcs11js.CKA_LABEL, value: task.algorithm },
  ]);
  const [key] = module.C_FindObjects(sessions[0], 1);
  module.C_FindObjectsFinal(sessions[0]);

  const digest = createHash('sha256').update('to be signed').digest();
  const signed =
    task.algorithm === 'ec'
      ? { mechanism: pkcs11js.CKM_ECDSA, data: digest, signatureBytes: 64 }
      : { mechanism: pkcs11js.CKM_RSA_PKCS, data: Buffer.concat([digestInfoHead, digest]), signatureBytes: 256 };
  return { module, sessions, key, ...signed };
}
