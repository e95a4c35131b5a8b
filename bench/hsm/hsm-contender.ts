import { createHash } from 'node:crypto';
import { Hsm } from '@nest-hsm/hsm';
import { perform } from '../harness/process.js';
import { measure } from './measure.js';
import type { SigningResult, SigningTask } from './task.js';

perform<SigningTask, SigningResult>(async (task) => {
  const hsm = await Hsm.open(task.config);
  const key = await hsm.findKey({ label: task.algorithm });
  const scheme = task.algorithm === 'ec' ? 'ecdsa-sha256' : 'rsa-pkcs1-sha256';
  const digest = createHash('sha256').update('to be signed').digest();
  const result = await measure(task, () => hsm.sign(key, scheme, digest, { input: 'digest' }));
  await hsm.close();
  return result;
});
