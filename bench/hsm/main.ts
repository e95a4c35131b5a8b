import { join } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { softHsmModule, TestToken } from '../../test/support/token.js';
import { type CaseFacts, contest, type Outcome, type Samples } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { report } from '../harness/report.js';
import type { FreezeResult } from './freeze-contender.js';
import type { OneSessionResult } from './one-session-contender.js';
import type { SigningResult, SigningTask } from './task.js';

/**
 * `Hsm` with its agent process against pkcs11js inside the application, on the same SoftHSM token and keys; and on virtual
 * HSMs that take 2 ms a signature, against what their sessions allow. Arguments: the cases that are run; none means all.
 *
 * The peer signs in its own process, so nothing crosses a boundary and nothing is checked, counted or recorded; both have as many
 * sessions as callers, 16 at most. On few processors SoftHSM's own work, which is in everybody's figures, is most of what there is:
 * `token-cpu-us` says how much in our agent, `token-alone-cpu-us` how much when one thread does nothing else.
 */
const only = process.argv.slice(2);
const isWanted = (caseName: string): boolean => only.length === 0 || only.includes(caseName);
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);

/** What the virtual HSM adds to each signature, as a network HSM would. */
const networkMilliseconds = 2;
const sessions = 16;

const token = new TestToken('bench');
const first = new VirtualHsm('bench-remote');
const remote = [first, new VirtualHsm(first)];
try {
  for (const config of [token.config(), first.config()]) {
    const hsm = await Hsm.open(config);
    await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
    await hsm.generateKeyPair({ label: 'rsa', algorithm: 'rsa-2048' });
    await hsm.close();
  }
  for (const device of remote) device.delay('C_Sign', networkMilliseconds);

  const local = { module: softHsmModule(), label: token.label, pinFile: token.pinFile };
  const distant = { module: first.module, label: first.token.label, pinFile: first.token.pinFile };
  const task = (changes: Partial<SigningTask> = {}): SigningTask => {
    return { config: token.config(), token: local, algorithm: 'ec', callers: 16, seconds, ...changes };
  };
  const remoteTask = (members: number, callers: number): SigningTask => {
    const fleet = remote.slice(0, members).map((device, index) => device.member({ name: `m${index + 1}`, sessions }));
    return task({ config: { ...first.config(), members: fleet }, token: distant, callers });
  };
  const contender = (name: string, module: string, what: SigningTask, environment: Record<string, string> = {}) => ({
    name,
    run: async (caseName: string): Promise<Samples> => {
      const url = new URL(module, import.meta.url);
      const result = await inProcess<SigningTask, SigningResult>(url, what, environment);
      const { signaturesPerSecond: value, cpuMicrosecondsPerSignature: cpuMicroseconds } = result;
      return {
        [caseName]: { value, cpuMicroseconds },
        'app-cpu-us': { value: cpuMicroseconds },
        'loop-delay-p99-ms': { value: result.loopDelayP99Milliseconds },
        ...(result.agentMegabytes > 0 && {
          'agent-cpu-us': { value: result.agentCpuMicrosecondsPerSignature },
          'agent-main-cpu-us': { value: result.agentMainCpuMicrosecondsPerSignature },
          'token-cpu-us': { value: result.tokenCpuMicrosecondsPerSignature },
          'agent-memory-mb': { value: result.agentMegabytes },
        }),
      };
    },
  });
  const ours = (name: string, what: SigningTask) => contender(name, 'hsm-contender.js', what);
  const inApplication = (what: SigningTask, moduleEnvironment: Record<string, string>) =>
    contender('pkcs11js', 'pkcs11js-contender.js', what, {
      ...moduleEnvironment,
      UV_THREADPOOL_SIZE: String(what.callers),
    });
  const here = (what: SigningTask) => inApplication(what, { SOFTHSM2_CONF: token.softHsmConf });
  const ideal = {
    name: '16 sessions ÷ 2 ms',
    run: (caseName: string) => Promise.resolve({ [caseName]: { value: (sessions * 1_000) / networkMilliseconds } }),
  };
  const oneSession = (what: SigningTask, environment: Record<string, string>) =>
    inProcess<SigningTask, OneSessionResult>(new URL('one-session-contender.js', import.meta.url), what, environment);
  // A thread that sleeps 2 ms wakes later, and SoftHSM's own work comes on top: more than this nobody gets.
  const attainable = {
    name: '16 × one session alone',
    run: async (caseName: string) => {
      const { signaturesPerSecond } = await oneSession(remoteTask(1, 1), first.moduleEnvironment);
      return { [caseName]: { value: sessions * signaturesPerSecond } };
    },
  };
  const audited = token.config({ audit: { directory: join(token.directory, 'audit') } });

  const signing: readonly SigningCase[] = [
    ['ec-sign-1', ours('Hsm', task({ callers: 1 })), here(task({ callers: 1 }))],
    ['ec-sign-16', ours('Hsm', task()), here(task()), '≥ 0.8×'],
    ['ec-sign-64', ours('Hsm', task({ callers: 64 })), here(task({ callers: 64 })), '≥ 0.8×'],
    ['rsa2048-sign-16', ours('Hsm', task({ algorithm: 'rsa' })), here(task({ algorithm: 'rsa' })), '≥ 0.9×'],
    ['ec-2ms-16', ours('Hsm', remoteTask(1, 16)), inApplication(remoteTask(1, 16), first.moduleEnvironment), '≥ 0.97×'],
    ['ec-2ms-16-ideal', ours('Hsm', remoteTask(1, 16)), ideal],
    ['ec-2ms-16-attainable', attainable, ideal],
    ['two-members-ec-64', ours('Hsm', remoteTask(2, 64)), ours('one member', remoteTask(1, 64)), '≥ 1.9×'],
    ['audit-on-ec-16', ours('Hsm', task({ config: audited })), ours('audit off', task()), '≥ 0.9×'],
  ];
  const outcomes: Outcome[] = [];
  for (const [name, our, peer, target] of signing) {
    if (!isWanted(name)) continue;
    const cases: Record<string, CaseFacts> = { [name]: { unit: 'signatures/s', better: 'higher', target } };
    if (name === 'ec-sign-16') {
      cases['app-cpu-us'] = { unit: 'µs/signature', better: 'lower', target: '≤ 8 µs' };
      cases['loop-delay-p99-ms'] = { unit: 'ms', better: 'lower', target: '< 5 ms' };
      for (const each of ['agent-cpu-us', 'agent-main-cpu-us', 'token-cpu-us']) {
        cases[each] = { unit: 'µs/signature', better: 'lower' };
      }
      cases['agent-memory-mb'] = { unit: 'MB', better: 'lower' };
    }
    const forCase = (each: CaseContender) => ({ name: each.name, run: () => each.run(name) });
    outcomes.push(...(await contest(cases, forCase(our), [forCase(peer)], rounds)));
  }
  // The others have no peer: this one is the token itself, and of the peer's hung call nothing would be the end.
  for (const [name, unit, run] of [
    ['token-alone-cpu-us', 'µs/signature', tokenAlone],
    ['freeze-to-next-success-ms', 'ms', freezing],
  ] as const) {
    if (!isWanted(name)) continue;
    const facts = { [name]: { unit, better: 'lower' } } as const;
    outcomes.push(...(await contest(facts, { name: 'Hsm', run }, [], Math.min(rounds, 3))));
  }
  report(outcomes);

  async function tokenAlone() {
    const result = await oneSession(task(), { SOFTHSM2_CONF: token.softHsmConf });
    return { 'token-alone-cpu-us': { value: result.cpuMicrosecondsPerSignature } };
  }

  async function freezing() {
    const module = new URL('freeze-contender.js', import.meta.url);
    const { freezeToNextSuccessMilliseconds, failed } = await inProcess<SigningTask, FreezeResult>(module, task());
    if (failed > 0) throw new Error(`bench: ${failed} calls failed during the freeze, want none`);
    return { 'freeze-to-next-success-ms': { value: freezeToNextSuccessMilliseconds } };
  }
} finally {
  for (const device of remote.toReversed()) device.remove();
  token.remove();
}

interface CaseContender {
  readonly name: string;
  run(caseName: string): Promise<Samples>;
}
type SigningCase = readonly [name: string, ours: CaseContender, peer: CaseContender, target?: string];
