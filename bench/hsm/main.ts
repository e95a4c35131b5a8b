import { Hsm } from '@nest-hsm/hsm';
import { softHsmModule, TestToken } from '../../test/support/token.js';
import { contest } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { report } from '../harness/report.js';
import type { FreezeResult } from './freeze-contender.js';
import { callers, type SigningResult, type SigningTask } from './task.js';

/** `Hsm` with its agent process against pkcs11js inside the application, on the same SoftHSM token and keys. */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);

const token = new TestToken('bench');
try {
  const hsm = await Hsm.open(token.config());
  await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
  await hsm.generateKeyPair({ label: 'rsa', algorithm: 'rsa-2048' });
  await hsm.close();

  const task = (algorithm: 'ec' | 'rsa'): SigningTask => ({
    config: token.config(),
    token: { module: softHsmModule(), label: token.label, pinFile: token.pinFile },
    keyLabel: algorithm,
    algorithm,
    callers,
    seconds,
  });
  const contenders = (algorithm: 'ec' | 'rsa', signing: string) => {
    const contender = (name: string, module: string, environment: Record<string, string>) => ({
      name,
      run: async () => {
        const url = new URL(module, import.meta.url);
        const result = await inProcess<SigningTask, SigningResult>(url, task(algorithm), environment);
        return {
          [signing]: { value: result.signaturesPerSecond, cpuMicroseconds: result.cpuMicrosecondsPerSignature },
          'loop-delay-p99-ms': { value: result.loopDelayP99Milliseconds },
        };
      },
    });
    const environment = { SOFTHSM2_CONF: token.softHsmConf, UV_THREADPOOL_SIZE: String(callers) };
    return [
      contender('Hsm', 'hsm-contender.js', {}),
      contender('pkcs11js', 'pkcs11js-contender.js', environment),
    ] as const;
  };

  const ec = await contest(
    {
      'ec-sign-16': { unit: 'signatures/s', better: 'higher', target: '≥ 0.8×, CPU ≤ 15 µs' },
      'loop-delay-p99-ms': { unit: 'ms', better: 'lower', target: '< 5 ms' },
    },
    ...contenders('ec', 'ec-sign-16'),
    rounds,
  );
  const rsa = await contest(
    { 'rsa2048-sign-16': { unit: 'signatures/s', better: 'higher', target: '≥ 0.9×' } },
    ...contenders('rsa', 'rsa2048-sign-16'),
    rounds,
  );
  // The peer has no place here: nothing ends its hung call.
  const freeze = await contest(
    { 'freeze-to-next-success-ms': { unit: 'ms', better: 'lower' } },
    { name: 'Hsm', run: freezing },
    undefined,
    Math.min(rounds, 3),
  );
  report([...ec, ...rsa, ...freeze]);

  async function freezing() {
    const module = new URL('freeze-contender.js', import.meta.url);
    const { freezeToNextSuccessMilliseconds, failed } = await inProcess<SigningTask, FreezeResult>(module, task('ec'));
    if (failed > 0) throw new Error(`bench: ${failed} calls failed during the freeze, want none`);
    return { 'freeze-to-next-success-ms': { value: freezeToNextSuccessMilliseconds } };
  }
} finally {
  token.remove();
}
