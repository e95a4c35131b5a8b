import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childrenOf } from '../../../../test/support/processes.js';
import type { Overrides } from '../../../../test/support/token.js';
import { StandIn } from '../../../../test/support/stand-in.js';
import { protocolVersion } from '../agent/protocol.js';
import { parseHsmConfig } from '../config.js';
import { Fleet } from './fleet.js';

describe('Starting agents', () => {
  let standIn: StandIn;
  let fleet: Fleet | undefined;

  const prepare = (...starts: string[]) => {
    standIn = new StandIn(...starts);
  };
  const start = async (overrides: Overrides = {}, entry = standIn.entry) => {
    fleet = await Fleet.start(parseHsmConfig(standIn.config(overrides)), {}, entry);
    return fleet;
  };
  const crashOnce = (of: Fleet) => {
    const request = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: false } as const;
    const data = Buffer.from('crash <2');
    return of.call('sign', { keyId: 'f'.repeat(32) as never, ...request, data }, { deadlineMilliseconds: 60_000 });
  };

  afterEach(async () => {
    await fleet?.close();
    fleet = undefined;
    expect(childrenOf(process.pid)).toEqual([]);
    standIn.remove();
  });

  it.each(['ERR_HSM_TOKEN_NOT_FOUND', 'ERR_HSM_TOKEN_AMBIGUOUS', 'ERR_HSM_PIN_INCORRECT', 'ERR_HSM_MODULE_UNUSABLE'])(
    "is tried once when the application starts, and fails with the agent's %s",
    async (code) => {
      prepare(code, 'ok');
      await expect(start()).rejects.toMatchObject({ code, member: 'stand-in' });
      expect(standIn.started).toHaveLength(1);
    },
  );

  it('says how an agent ended that did not start, with its last words', async () => {
    prepare('crash');
    const { status } = await start();
    expect(status[0]).toMatchObject({
      state: 'starting',
      trouble: { code: 'ERR_HSM_UNAVAILABLE', message: expect.stringMatching(/SIGSEGV.*crashing as told/) },
    });
  });

  it('does not wait for ever', async () => {
    prepare('hang');
    const late = { code: 'ERR_HSM_UNAVAILABLE', message: expect.stringContaining('start within 700 ms') };
    expect((await start({ startMilliseconds: 700 })).status[0].trouble).toMatchObject(late);
  });

  it('names an agent that is not there', async () => {
    prepare();
    const missing = { message: expect.stringContaining('Cannot find module') };
    expect((await start({}, join(standIn.directory, 'missing.js'))).status[0].trouble).toMatchObject(missing);
  });

  it('refuses an agent of another protocol version', async () => {
    prepare();
    const dist = join(standIn.directory, 'agent.mjs');
    const built = (name: string) => new URL(`../../dist/${name}.js`, import.meta.url).pathname;
    writeFileSync(
      dist,
      `import { Socket } from 'node:net'; import { HsmError } from '${built('errors')}';
       import { FrameWriter } from '${built('agent/frame')}'; import { writeError } from '${built('agent/message')}';
       const stream = new Socket({ fd: 3 });
       const writer = new FrameWriter();
       writeError(writer, 1, new HsmError('ERR_HSM_PROTOCOL', 'want version 2, got 1'));
       stream.once('data', () => stream.write(writer.frames));`,
    );
    await expect(start({}, dist)).rejects.toMatchObject({ code: 'ERR_HSM_PROTOCOL', message: 'want version 2, got 1' });
  });

  it('tells the agent what it needs and nothing else', async () => {
    prepare();
    const policy = [{ label: 'tls-*', operations: ['sign' as const] }];
    await start({ client: 'tests', sessions: 4, policy, audit: { directory: '/none/audit' } });
    expect(standIn.hello(1).request).toEqual({
      version: protocolVersion,
      client: 'tests',
      settings: {
        module: '/none',
        token: { label: 'stand-in' },
        pin: { file: '/none' },
        sessions: 4,
        vendor: 'auto',
        stateDirectory: join(standIn.directory, 'stand-in'),
        audit: {
          directory: '/none/audit',
          member: 'stand-in',
          maximumSegmentBytes: 64 << 20,
          issuerKeys: [],
          folded: [],
          foldSeconds: 60,
          onFailure: { use: 'count' },
        },
        policy,
      },
    });
  });

  it('gives the agent an allow-listed environment and no inspector', async () => {
    prepare();
    const { NODE_OPTIONS = '' } = process.env;
    Object.assign(process.env, { NEST_HSM_TEST_SECRET: 'of the application', NODE_OPTIONS: '--inspect=0' });
    await start({ sessions: 4 });
    const { env, argv } = standIn.hello(1);
    delete process.env.NEST_HSM_TEST_SECRET;
    process.env.NODE_OPTIONS = NODE_OPTIONS;
    const allowed = [
      'PATH',
      'LANG',
      'LC_ALL',
      'TZ',
      'PWD',
      'STAND_IN_DIRECTORY',
      'GLIBC_TUNABLES',
      'UV_THREADPOOL_SIZE',
    ];
    expect(Object.keys(env).filter((name) => !allowed.includes(name))).toEqual([]);
    expect(env.UV_THREADPOOL_SIZE).toBe('7');
    expect(argv).toEqual(['--disable-sigusr1']);
  });

  const onLinux = existsSync('/proc/self/limits') ? it : it.skip;
  onLinux('lets the agent dump no core, neither to a file nor to a collector', async () => {
    prepare();
    await start();
    const read = (name: string) => readFileSync(`/proc/${standIn.started[0]}/${name}`, 'utf8');
    expect(read('limits')).toMatch(/^Max core file size +0 +0 /m);
    expect(Number.parseInt(read('coredump_filter'), 16)).toBe(0);
  });

  describe('with a PIN of the application', () => {
    const pinOf = (start: number) => (standIn.hello(start).request as { settings: { pin: unknown } }).settings.pin;

    it('asks its callback for each agent anew', async () => {
      prepare();
      let asked = 0;
      const started = await start({ pin: { callback: async () => `pin-${++asked}` } });
      await crashOnce(started);
      expect([pinOf(1), pinOf(2)]).toEqual([{ value: 'pin-1' }, { value: 'pin-2' }]);
    });

    it('reads its environment for each agent anew', async () => {
      prepare();
      process.env.NEST_HSM_TEST_PIN = 'first';
      const started = await start({ pin: { environment: 'NEST_HSM_TEST_PIN' } });
      process.env.NEST_HSM_TEST_PIN = 'second';
      await crashOnce(started);
      delete process.env.NEST_HSM_TEST_PIN;
      expect([pinOf(1), pinOf(2)]).toEqual([{ value: 'first' }, { value: 'second' }]);
      expect(standIn.hello(1).env).not.toHaveProperty('NEST_HSM_TEST_PIN');
    });

    it.each([
      ['throws', () => Promise.reject(new Error('vault is sealed')), /callback: want a PIN, got an error/],
      ['has none', () => '', /callback: want some text, got none/],
      ['has something else', () => 1234 as unknown as string, /callback: want some text, got none/],
    ])('starts no agent when its callback %s', async (_, callback, message) => {
      prepare();
      await expect(start({ pin: { callback } })).rejects.toThrow(message);
      expect(standIn.started).toEqual([]);
    });

    it('starts no agent while its callback does not answer', async () => {
      prepare();
      const callback = () => new Promise<string>(() => undefined);
      const { status } = await start({ pin: { callback }, startMilliseconds: 300 });
      expect(status[0].trouble?.message).toMatch(/within 300 ms/);
      expect(standIn.started).toEqual([]);
    });

    it('starts no agent when its environment has none', async () => {
      prepare();
      const missing = {
        code: 'ERR_HSM_PIN_SOURCE',
        message: 'PIN from variable NEST_HSM_NO_PIN of the environment: want some text, got none',
      };
      await expect(start({ pin: { environment: 'NEST_HSM_NO_PIN' } })).rejects.toMatchObject(missing);
    });
  });
});
