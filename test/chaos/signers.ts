import { verify } from 'node:crypto';
import type { Hsm, HsmKey } from '@nest-hsm/hsm';

const callers = 16;
const message = Buffer.from('to be signed by a fleet');

export interface Signed {
  /** Signatures that verified. */
  readonly signed: number;
  /** What became of each other call. */
  readonly failed: readonly string[];
}

/** 16 callers sign, one signature after the other, and verify, until `work` is done. */
export async function signDuring(hsm: Hsm, key: HsmKey, work: () => Promise<void>): Promise<Signed> {
  let isOver = false;
  let signed = 0;
  const failed: string[] = [];
  const caller = async (): Promise<void> => {
    while (!isOver) {
      try {
        const signature = await hsm.sign(key, 'ecdsa-sha256', message, { verify: true, hedge: true });
        if (verify('sha256', message, key.publicKey!, signature)) signed++;
        else failed.push('a wrong signature was released');
      } catch (error) {
        failed.push(String(error));
      }
    }
  };
  const all = Array.from({ length: callers }, caller);
  try {
    await work();
  } finally {
    isOver = true;
    await Promise.all(all);
  }
  return { signed, failed };
}
