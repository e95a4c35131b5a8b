/**
 * Two p11-kit servers before one token: real processes, really killed and stopped while 16 callers sign. What the virtual HSMs of the
 * other tests only play.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmKey } from '@nest-hsm/hsm';
import { hasRemoteHsms, RemoteHsm } from '../chaos/remote-hsm.js';
import { signDuring } from '../chaos/signers.js';
import { eventually } from '../support/eventually.js';
import { TestToken } from '../support/token.js';

const describeRemote = hasRemoteHsms() ? describe : describe.skip;

describeRemote('a remote token', () => {
  let token: TestToken;
  let remotes: readonly RemoteHsm[];
  let hsm: Hsm;
  let key: HsmKey;

  beforeAll(async () => {
    token = new TestToken('remote');
    // Made on the token itself: the servers carry no generation with all of our attributes.
    const local = await Hsm.open(token.config());
    key = await local.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
    await local.close();
    remotes = [new RemoteHsm(token, 'r1'), new RemoteHsm(token, 'r2')];
    await Promise.all(remotes.map((remote) => remote.start()));
  });
  beforeEach(async () => {
    hsm = await Hsm.open({
      ...token.config({ hangMilliseconds: 500 }),
      members: remotes.map((remote) => remote.member()),
    });
    await eventually(isServing);
  });
  afterEach(async () => {
    for (const remote of remotes) remote.signal('SIGCONT');
    await hsm.close();
  });
  afterAll(async () => {
    await Promise.all(remotes.map((remote) => remote.kill()));
    token.remove();
  });

  const isServing = (): boolean => hsm.members.every(({ state }) => state === 'serving');

  test('that is killed and started again', async () => {
    const { signed, failed } = await signDuring(hsm, key, async () => {
      await pause(300);
      await remotes[0].kill();
      await pause(1_000);
      await remotes[0].start();
      await eventually(isServing);
    });
    expect(failed).toEqual([]);
    expect(signed).toBeGreaterThan(16);
  });

  test('that is stopped and goes on', async () => {
    const { signed, failed } = await signDuring(hsm, key, async () => {
      await pause(300);
      remotes[1].signal('SIGSTOP');
      await eventually(() => hsm.members[1].state !== 'serving');
      await pause(1_000);
      remotes[1].signal('SIGCONT');
      await eventually(isServing);
    });
    expect(failed).toEqual([]);
    expect(signed).toBeGreaterThan(16);
  });
});
