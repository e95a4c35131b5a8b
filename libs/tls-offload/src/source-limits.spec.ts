import { connect } from 'node:net';
import { credentialOf, makeIdentity, softwareSigner } from '../test/identity.js';
import { connectTls, eventually, listen } from '../test/listen.js';
import { SourceLimits } from './source-limits.js';
import { TlsTerminator } from './terminator.js';

const limits = { handshakesAtOnce: 2, handshakesPerSecond: 10, burst: 3, trackedSources: 4 };

describe('the limits of a source', () => {
  it('let in so many at once, of each source', () => {
    const sources = new SourceLimits(limits);
    expect([1, 2, 3].map(() => sources.enter('192.0.2.1'))).toEqual([true, true, false]);
    expect(sources.enter('192.0.2.2')).toBe(true);
    sources.leave('192.0.2.1');
    expect(sources.enter('192.0.2.1')).toBe(true);
  });

  it('count who left until the token is not at work for it any more', async () => {
    const sources = new SourceLimits(limits);
    let end = (): void => undefined;
    expect([1, 2].map(() => sources.enter('192.0.2.1'))).toEqual([true, true]);
    const ended = new Promise<void>((resolve) => (end = resolve));
    sources.hold('192.0.2.1', ended);
    sources.leave('192.0.2.1');
    expect(sources.enter('192.0.2.1')).toBe(false);
    end();
    await ended;
    expect(sources.enter('192.0.2.1')).toBe(true);
  });

  it('let in so many a second, after a burst', () => {
    let now = 0;
    const sources = new SourceLimits(limits, () => now);
    const visit = (): boolean => {
      const entered = sources.enter('2001:db8::1');
      if (entered) sources.leave('2001:db8::1');
      return entered;
    };
    expect([1, 2, 3, 4].map(visit)).toEqual([true, true, true, false]);
    now += 100;
    expect([visit(), visit()]).toEqual([true, false]);
    now += 60_000;
    expect([1, 2, 3, 4].map(visit)).toEqual([true, true, true, false]);
  });

  it('count a /64 of IPv6, and IPv4 within IPv6, as one source', () => {
    const sources = new SourceLimits(limits);
    expect(['2001:db8::1', '2001:db8::ffff', '2001:db8:0:0:1::1'].map((each) => sources.enter(each))).toEqual([
      true,
      true,
      false,
    ]);
    expect(['::ffff:192.0.2.1', '192.0.2.1', '192.0.2.1'].map((each) => sources.enter(each))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('remember a bounded number of sources, and those under way always', () => {
    const sources = new SourceLimits(limits);
    sources.enter('192.0.2.1');
    sources.enter('192.0.2.1');
    for (let index = 0; index < 100; index++) {
      const address = `198.51.100.${index}`;
      if (sources.enter(address)) sources.leave(address);
    }
    expect(sources.size).toBe(4);
    expect(sources.enter('192.0.2.1')).toBe(false);
  });

  it('close connections beyond them before TLS begins, and give the place back however a handshake ends', async () => {
    const identity = makeIdentity('ec-p256');
    const terminator = new TlsTerminator({
      credentials: [credentialOf(identity, softwareSigner(identity))],
      sourceLimits: { handshakesAtOnce: 2 },
    });
    await using listener = await listen(terminator, (socket) => socket.end());
    const options = { port: listener.port, ca: identity.certificatePem };
    const silent = [1, 2].map(() => connect(listener.port, '127.0.0.1').on('error', () => undefined));
    await eventually(() => terminator.statistics.handshaking === 2);
    await expect(connectTls(options)).rejects.toThrow(/disconnected|ECONNRESET/);
    expect(listener.failures.map(({ code }) => code)).toEqual(['ERR_TLS_OFFLOAD_SOURCE_LIMITED']);
    for (const socket of silent) socket.destroy();
    await eventually(() => terminator.statistics.handshaking === 0);
    for (let round = 0; round < 3; round++) (await connectTls(options)).destroy();
    expect(terminator.statistics.failed).toMatchObject({ ERR_TLS_OFFLOAD_SOURCE_LIMITED: 1 });
  });
});
