import { setTimeout as pause } from 'node:timers/promises';
import type { Overrides } from '../../../../test/support/token.js';
import { StandIn } from '../../../../test/support/stand-in.js';
import type { NewKey } from '../agent/protocol.js';
import { parseHsmConfig } from '../config.js';
import type { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import type { FleetCallOptions } from './call-options.js';
import { Fleet } from './fleet.js';

const keyId = '00112233445566778899aabbccddeeff' as KeyId;

describe('Fleet of one member: agents that fail', () => {
  let standIn: StandIn;
  let fleet: Fleet;
  let losses: HsmError[];

  const start = async (overrides: Overrides = {}) => {
    losses = [];
    const observer = { agentLost: (reason: HsmError) => void losses.push(reason) };
    fleet = await Fleet.start(parseHsmConfig(standIn.config(overrides)), observer, standIn.entry);
  };
  const sign = async (what: string, options: FleetCallOptions = {}): Promise<string> => {
    const scheme = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: false } as const;
    return (await fleet.call('sign', { keyId, ...scheme, data: Buffer.from(what) }, options)).signature.toString();
  };
  const generate = (label: string, extractable = false) =>
    fleet.call(
      'generateKey',
      { id: keyId, label, algorithm: 'ec-p256', usage: 'sign', extractable } satisfies NewKey,
      {},
    );

  beforeEach(() => {
    standIn = new StandIn();
  });
  afterEach(async () => {
    await fleet.close();
    standIn.remove();
  });

  describe.each([
    ['crashes', 'crash <2', 'SIGSEGV'],
    ['exits', 'exit <2', 'exit code 7'],
    ['says that it lost its HSM', 'lose <2', 'as told'],
    ['speaks no protocol', 'garbage <2', 'want the agent protocol'],
    ['blocks', 'silence <2', 'silent for 1250 ms'],
    ['is stopped', 'stop <2', 'silent for 1250 ms'],
  ])('that %s', (_, what, why) => {
    it('is replaced, and its callers never notice', async () => {
      await start({ hangMilliseconds: 30_000 });
      const calls = [sign('late 400'), sign('echo'), sign(what), sign('late 500')];
      await expect(Promise.all(calls)).resolves.toEqual(['late 400', 'echo', what, 'late 500']);
      expect(standIn.started).toHaveLength(2);
      expect(fleet.status[0].token?.serial).toBe('2');
      expect(() => process.kill(standIn.started[0], 0)).toThrow();
      expect(losses).toEqual([
        expect.objectContaining({ code: 'ERR_HSM_UNAVAILABLE', message: expect.stringContaining(why) }),
      ]);
    });
  });

  it('quotes the last words of an agent', async () => {
    await start();
    await sign('crash <2');
    expect(losses[0].message).toContain('crashing as told');
  });

  it('replaces an agent whose token takes too long, within the deadlines of its callers', async () => {
    await start({ hangMilliseconds: 300 });
    const calls = [sign('hang <2'), sign('echo'), sign('late 100')];
    await expect(Promise.all(calls)).resolves.toEqual(['hang <2', 'echo', 'late 100']);
    expect(losses[0].message).toContain('want sign to take less than 300 ms on the token');
  });

  it('replaces it even when nobody waits for that call any more', async () => {
    await start({ hangMilliseconds: 300, sessions: 1 });
    await expect(sign('hang <2', { deadlineMilliseconds: 50 })).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT' });
    await expect(sign('echo')).resolves.toBe('echo');
    expect(standIn.started).toHaveLength(2);
  });

  it('gives key generation the time that it takes', async () => {
    await start({ hangMilliseconds: 100, deadlineMilliseconds: 200 });
    await expect(generate('late 400')).resolves.toMatchObject({ id: keyId });
    expect(standIn.started).toHaveLength(1);
  });

  it('makes a call once more, not for ever', async () => {
    await start();
    await expect(sign('crash')).rejects.toMatchObject({ code: 'ERR_HSM_UNAVAILABLE', retryable: true });
    expect(standIn.lines('verbs').filter((verb) => verb === 'sign')).toHaveLength(2);
    await expect(sign('echo')).resolves.toBe('echo');
    // As the audit trail has it.
    const attempts = standIn.lines('attempts').filter((line) => line.startsWith('sign'));
    expect(attempts).toEqual(['sign 1', 'sign 2', 'sign 1']);
  });

  it('does not count agents that turned it away since they were about to end', async () => {
    await start();
    await expect(sign('lose <5', { deadlineMilliseconds: 60_000 })).resolves.toBe('lose <5');
    expect(standIn.started).toHaveLength(5);
  });

  it('does not make it again when its deadline has passed or its caller is gone', async () => {
    await start({ sessions: 4 });
    const controller = new AbortController();
    const calls = [
      sign('hang', { deadlineMilliseconds: 40 }),
      sign('hang', { signal: controller.signal }),
      sign('late 700'),
    ];
    const ends = Promise.allSettled(calls);
    await pause(60);
    controller.abort();
    await Promise.all([sign('crash <2'), ends]);
    expect(standIn.lines('verbs').filter((verb) => verb === 'sign')).toHaveLength(6);
  });

  it('keeps the order of calls that go to the next agent', async () => {
    await start({ sessions: 3 });
    const ended: string[] = [];
    const calls = ['late 1000', 'late 1001', 'crash <2', 'echo-3', 'echo-4'].map(async (what) =>
      ended.push(await sign(what)),
    );
    await Promise.all(calls);
    expect(standIn.started).toHaveLength(2);
    expect(ended.slice(0, 3)).toEqual(['crash <2', 'echo-3', 'echo-4']);
  });

  describe('while a key is made', () => {
    it('finds the key with the next agent when it was made', async () => {
      await start();
      await expect(generate('made-crash')).resolves.toMatchObject({ id: keyId, label: 'made-crash' });
      expect(standIn.lines('verbs')).toEqual(['hello', 'generateKey', 'hello', 'findKeys']);
    });

    it('finds it when the agent itself does not know', async () => {
      await start();
      await expect(generate('made-ERR_HSM_OUTCOME_UNKNOWN')).resolves.toMatchObject({ id: keyId });
      expect(standIn.started).toHaveLength(1);
    });

    it('says that the outcome is unknown when it does not find it', async () => {
      await start();
      await expect(generate('crash')).rejects.toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN', retryable: true });
      expect(standIn.lines('verbs')).toEqual(['hello', 'generateKey', 'hello', 'findKeys']);
    });

    it('does not look for a session object, which is gone with its agent', async () => {
      await start();
      await expect(generate('made-crash', true)).rejects.toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN' });
      expect(standIn.lines('verbs')).not.toContain('findKeys');
    });

    it('says so too when the caller waited in vain', async () => {
      await start();
      const call = fleet.call(
        'generateKey',
        { id: keyId, label: 'hang', algorithm: 'aes-256', usage: 'encrypt', extractable: false },
        { deadlineMilliseconds: 60 },
      );
      await expect(call).rejects.toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN' });
    });
  });

  it('says of a destruction that its outcome is unknown, and does not try again', async () => {
    await start();
    await expect(fleet.call('destroyKey', { keyId }, {})).rejects.toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN' });
    await expect(sign('echo')).resolves.toBe('echo');
    expect(standIn.lines('verbs').filter((verb) => verb === 'destroyKey')).toHaveLength(1);
  });

  it('does not take a pause of this process for one of the agent', async () => {
    await start({ hangMilliseconds: 200, deadlineMilliseconds: 200 });
    const call = sign('late 50');
    await pause(20);
    const until = performance.now() + 1_800;
    while (performance.now() < until);
    await expect(call).resolves.toBe('late 50');
    expect(standIn.started).toHaveLength(1);
  });

  it('does not take a long turn of this process, before anything was sent, for one of the agent either', async () => {
    await start({ hangMilliseconds: 500 });
    const call = sign('late 50');
    const until = performance.now() + 700;
    while (performance.now() < until);
    await expect(call).resolves.toBe('late 50');
    expect(standIn.started).toHaveLength(1);
  });

  it('waits, ever longer, for a token that is away, and serves when it is back', async () => {
    standIn.remove();
    standIn = new StandIn('ok', 'ERR_HSM_TOKEN_NOT_FOUND', 'crash', 'ERR_HSM_PIN_SOURCE', 'ok');
    await start();
    await expect(sign('crash <5')).resolves.toBe('crash <5');
    expect(standIn.started).toHaveLength(5);
  });

  it('tells callers who waited in vain why there is no agent', async () => {
    standIn.remove();
    standIn = new StandIn('ok', ...Array<string>(20).fill('ERR_HSM_TOKEN_NOT_FOUND'));
    await start();
    const call = sign('crash <2', { deadlineMilliseconds: 3_000 });
    await expect(call).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT', cause: { code: 'ERR_HSM_TOKEN_NOT_FOUND' } });
  });

  it.each(['ERR_HSM_PIN_INCORRECT', 'ERR_HSM_PIN_LOCKED', 'ERR_HSM_PIN_REFUSED_EARLIER', 'ERR_HSM_PROTOCOL'])(
    'never tries again after %s: every call fails with it at once',
    async (refusal) => {
      standIn.remove();
      standIn = new StandIn('ok', refusal);
      await start({ sessions: 1 });
      const calls = await Promise.allSettled([sign('crash <2'), sign('echo')]);
      expect(calls).toMatchObject([{ reason: { code: refusal } }, { reason: { code: refusal } }]);
      await expect(sign('echo')).rejects.toMatchObject({ code: refusal });
      await pause(300);
      expect(standIn.started).toHaveLength(2);
    },
  );

  it('closes while an agent is on its way, and leaves none', async () => {
    standIn.remove();
    standIn = new StandIn('ok', 'hang');
    await start({ deadlineMilliseconds: 300 });
    await expect(sign('crash')).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT' });
    await fleet.close();
    for (const pid of standIn.started) expect(() => process.kill(pid, 0)).toThrow();
  });
});
