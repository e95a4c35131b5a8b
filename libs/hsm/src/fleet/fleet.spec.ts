import { getEventListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Overrides } from '../../../../test/support/token.js';
import { eventually } from '../../../../test/support/eventually.js';
import { StandIn } from '../../../../test/support/stand-in.js';
import { parseHsmConfig } from '../config.js';
import type { KeyId } from '../key/key.js';
import type { FleetCallOptions } from './call-options.js';
import { Fleet } from './fleet.js';

const keyId = '00112233445566778899aabbccddeeff' as KeyId;

describe('Fleet of one member: queue, deadlines, signals and the end', () => {
  let standIn: StandIn;
  let fleet: Fleet;
  let losses: number;

  const start = async (overrides: Overrides = {}) => {
    losses = 0;
    const observer = { agentLost: () => void losses++ };
    fleet = await Fleet.start(parseHsmConfig(standIn.config(overrides)), observer, standIn.entry);
  };
  const sign = async (what: string, options: FleetCallOptions = {}): Promise<string> => {
    const scheme = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: false } as const;
    const request = { keyId, ...scheme, data: Buffer.from(what) };
    return (await fleet.call('sign', request, options)).signature.toString();
  };
  const code = (expected: string): unknown => expect.objectContaining({ code: expected });

  beforeEach(() => {
    standIn = new StandIn();
  });
  afterEach(async () => {
    await fleet.close();
    standIn.remove();
  });

  it('answers each caller with its own answer, whatever the order', async () => {
    await start();
    const asked = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? `late ${40 - index}` : `echo-${index}`));
    await expect(Promise.all(asked.map((each) => sign(each)))).resolves.toEqual(asked);
    expect(fleet.load).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it('lets no more calls to the agent than there are sessions', async () => {
    await start({ sessions: 2 });
    const calls = ['late 100', 'late 100', 'echo', 'echo'].map((each) => sign(each));
    expect(fleet.load).toMatchObject({ sessions: 2, inFlight: 2, queued: 2, queuedByClass: { issuance: 2, data: 0 } });
    await Promise.all(calls);
  });

  it('refuses a call at once when the queue is full', async () => {
    await start({ sessions: 1, queueLimit: 2 });
    const calls = ['late 100', 'echo', 'echo'].map((each) => sign(each));
    await expect(sign('echo')).rejects.toMatchObject({ code: 'ERR_HSM_OVERLOADED', retryable: true });
    await Promise.all(calls);
    await expect(sign('echo')).resolves.toBe('echo');
  });

  it('gives up at the deadline: in the queue without asking the agent, on the token without its late answer', async () => {
    await start({ sessions: 1 });
    const onToken = sign('late 300', { deadlineMilliseconds: 60 });
    const queued = sign('echo', { deadlineMilliseconds: 30 });
    // The member is the one that the call was with, and there is none where it never was with any.
    await expect(queued).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT', member: undefined, retryable: true });
    await expect(onToken).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT', member: 'stand-in' });
    await expect(sign('next')).resolves.toBe('next');
    expect(standIn.lines('verbs').filter((verb) => verb === 'sign')).toHaveLength(2);
    // The agent was told, so that it need not ask the token for nobody.
    expect(standIn.lines('cancelled')).toHaveLength(1);
    expect(standIn.started).toHaveLength(1);
  });

  it('does not ask the agent for what cannot come in time: neither lets it wait nor, when its turn comes, sends it', async () => {
    await start({ sessions: 1 });
    for (let warm = 0; warm < 3; warm++) await sign('late 100');
    const onToken = sign('late 500');
    const late = sign('too late', { deadlineMilliseconds: 540 });
    const queued = [late, ...Array.from({ length: 30 }, () => sign('echo', { deadlineMilliseconds: 400 }))];
    const ends = Promise.allSettled(queued);
    // The places of those that can be answered, and nobody waits in the others.
    expect(fleet.load.queued).toBeLessThanOrEqual(5);
    const next = sign('next');
    await onToken;
    await expect(next).resolves.toBe('next');
    for (const end of await ends) expect(end).toMatchObject({ reason: { code: 'ERR_HSM_TIMEOUT', retryable: true } });
    expect(standIn.lines('verbs').filter((verb) => verb === 'sign')).toHaveLength(5);
  });

  it.each([Number.NaN, -1])('refuses a deadline of %p', async (deadlineMilliseconds) => {
    await start();
    await expect(sign('echo', { deadlineMilliseconds })).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });

  it('takes deadlines longer than a timer lasts, and none at all', async () => {
    await start();
    await expect(sign('echo', { deadlineMilliseconds: Infinity })).resolves.toBe('echo');
    await expect(sign('echo', { deadlineMilliseconds: 2 ** 40 })).resolves.toBe('echo');
    await expect(sign('echo', { deadlineMilliseconds: 0 })).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT' });
  });

  it('drops a call when its signal is aborted: before, in the queue, on the token', async () => {
    await start({ sessions: 1 });
    await expect(sign('echo', { signal: AbortSignal.abort('early') })).rejects.toMatchObject({ cause: 'early' });
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [sign('late 1000', { signal }), sign('echo', { signal })];
    const ends = Promise.allSettled(calls);
    await eventually(() => standIn.lines('verbs').includes('sign'));
    controller.abort('enough');
    const aborted = {
      status: 'rejected',
      reason: expect.objectContaining({ code: 'ERR_HSM_ABORTED', cause: 'enough' }),
    };
    await expect(ends).resolves.toEqual([aborted, aborted]);
    await expect(sign('next')).resolves.toBe('next');
    expect(standIn.lines('verbs').filter((verb) => verb === 'sign')).toHaveLength(2);
  });

  it('says until when a call is with the agent that its caller waits for no more', async () => {
    await start({ sessions: 2, hangMilliseconds: 1_500 });
    const { signal } = new AbortController();
    const lingering: Promise<void>[] = [];
    const onLingering = (ended: Promise<void>) => void lingering.push(ended);
    const given = new AbortController();
    const calls = [
      sign('late 300', { signal: given.signal, onLingering }),
      sign('late 900', { deadlineMilliseconds: 40, onLingering }),
      sign('echo', { signal: given.signal, onLingering }),
    ];
    const ends = Promise.allSettled(calls);
    await pause(20);
    given.abort();
    await ends;
    // The third never left: there is nothing to wait for.
    expect(lingering).toHaveLength(2);
    expect(fleet.load.inFlight).toBe(2);
    await lingering[0];
    expect(fleet.load.inFlight).toBe(1);
    await lingering[1];
    expect(fleet.load.inFlight).toBe(0);

    await expect(sign('echo', { signal, onLingering })).resolves.toBe('echo');
    expect(lingering).toHaveLength(2);
    const late = sign('hang', { deadlineMilliseconds: 40, onLingering });
    await expect(late).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT' });
    // Its agent is lost, and with it the call.
    await lingering[2];
    expect(fleet.load.inFlight).toBe(0);
  });

  it('leaves no listener on a signal', async () => {
    await start({ sessions: 1 });
    const { signal } = new AbortController();
    const calls = [
      sign('echo', { signal }),
      sign('ERR_HSM_TOKEN_ERROR', { signal }),
      sign('late 90', { signal, deadlineMilliseconds: 30 }),
    ];
    expect(getEventListeners(signal, 'abort')).toHaveLength(3);
    await Promise.allSettled(calls);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it("passes the agent's errors on, with the member's name", async () => {
    await start();
    const error = { code: 'ERR_HSM_KEY_NOT_FOUND', member: 'stand-in', retryable: false, message: 'as told' };
    await expect(sign('ERR_HSM_KEY_NOT_FOUND')).rejects.toMatchObject(error);
  });

  it('refuses what does not fit the protocol, for that caller alone', async () => {
    await start();
    const fits = sign('echo');
    const scheme = { scheme: 'md5' as 'ed25519', input: 'message', format: 'der', verify: false } as const;
    const data = Buffer.from('x');
    const invalid = code('ERR_HSM_ARGUMENT_INVALID');
    await expect(fleet.call('sign', { keyId, ...scheme, data }, {})).rejects.toEqual(invalid);
    await expect(fleet.call('mac', { keyId: 'no id' as KeyId, data }, {})).rejects.toEqual(invalid);
    await expect(fleet.call('mac', { keyId, data: undefined as unknown as Buffer }, {})).rejects.toEqual(invalid);
    await expect(fleet.call('mac', { keyId, data: Buffer.alloc(2 ** 20) }, {})).rejects.toEqual(invalid);
    await expect(sign('echo', { correlationId: 'é'.repeat(33) })).rejects.toEqual(invalid);
    await expect(fits).resolves.toBe('echo');
    await expect(sign('echo', { correlationId: 'é'.repeat(32) })).resolves.toBe('echo');
  });

  it('carries large requests and answers beside small ones', async () => {
    await start();
    const large = Buffer.alloc(2 ** 20 - 200, 7);
    const [{ mac }, small] = await Promise.all([fleet.call('mac', { keyId, data: large }, {}), sign('echo')]);
    expect(mac.equals(large)).toBe(true);
    expect(small).toBe('echo');
  });

  describe('close', () => {
    it('answers what was asked, refuses what comes after, and ends the agent', async () => {
      await start({ sessions: 1 });
      const asked = [sign('late 100'), sign('echo')];
      const closing = fleet.close();
      await expect(sign('echo')).rejects.toMatchObject({ code: 'ERR_HSM_CLOSED' });
      await expect(Promise.all(asked)).resolves.toEqual(['late 100', 'echo']);
      await closing;
      expect(() => process.kill(standIn.started[0], 0)).toThrow();
      expect(losses).toBe(0);
      await expect(sign('echo')).rejects.toMatchObject({ code: 'ERR_HSM_CLOSED' });
    });

    it('does not wait longer than a caller would', async () => {
      await start({ deadlineMilliseconds: 150, sessions: 1 });
      const patient = { deadlineMilliseconds: 60_000 };
      const ends = Promise.allSettled([
        sign('hang', patient),
        sign('echo', patient),
        fleet.call('generateKey', newKey('hang'), patient),
      ]);
      await fleet.close();
      expect(await ends).toMatchObject([1, 2, 3].map(() => ({ reason: { code: 'ERR_HSM_CLOSED' } })));
      expect(() => process.kill(standIn.started[0], 0)).toThrow();
    });

    it('says of a key in the making that its outcome is unknown', async () => {
      await start({ deadlineMilliseconds: 100 });
      const made = expect(fleet.call('generateKey', newKey('hang'), {})).rejects.toEqual(
        code('ERR_HSM_OUTCOME_UNKNOWN'),
      );
      await fleet.close();
      await made;
    });

    it('ends an agent that does not end by itself', async () => {
      await start({ deadlineMilliseconds: 50 });
      const patient = { deadlineMilliseconds: 60_000 };
      const asked = expect(sign('silence', patient)).rejects.toMatchObject({ code: 'ERR_HSM_CLOSED' });
      await fleet.close();
      await asked;
      expect(() => process.kill(standIn.started[0], 0)).toThrow();
    });

    it('is the same end for whoever asks again', async () => {
      await start();
      expect(fleet.close()).toBe(fleet.close());
    });
  });
});

function newKey(label: string) {
  return { id: keyId, label, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
}
