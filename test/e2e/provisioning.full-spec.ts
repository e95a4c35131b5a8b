import { readFileSync, writeFileSync } from 'node:fs';
import { changeTokenPin } from '@nest-hsm/hsm';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { childrenOf } from '../support/processes.js';
import { Folder, ProvisionedToken } from '../support/provisioned-token.js';
import { softHsmModule } from '../support/token.js';

const page = readFileSync('docs/PROVISIONING.md', 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code);

test('every command of the page works as it stands', async () => {
  const folder = new Folder();
  try {
    const [prepare, init, pins, revoke] = blocks('sh');
    await folder.sh(prepare);
    const [fleet] = blocks('yaml');
    writeFileSync(folder.at('fleet.yaml'), fleet.replaceAll('/usr/lib/softhsm/libsofthsm2.so', softHsmModule()));
    await folder.sh(init);
    const before = ['pin-a', 'pin-b', 'so-pin'].map((name) => folder.read(name));
    expect(await folder.sh(pins)).toMatch(/PIN of the user of hsm-a[^]*PIN of the security officer of hsm-a, hsm-b/);
    expect(await folder.sh(revoke)).toMatch(/^revoked: .*"tls-b"[^]*^set: PIN of the user of hsm-b$/m);
    for (const name of ['pin-a', 'pin-b', 'so-pin']) expect(before).not.toContain(folder.read(name));
    expect(folder.labels('tls-a', 'tokens/hsm-a', 'pin-a')).toContain('nest-hsm-member');
    expect(folder.labels('tls-b', 'tokens/hsm-b', 'pin-b')).toContain('nest-hsm-member');
  } finally {
    folder.remove();
  }
}, 300_000);

describe('a token whose agent is killed', () => {
  let device: VirtualHsm;
  let token: ProvisionedToken;

  beforeEach(() => {
    device = new VirtualHsm('another');
    token = new ProvisionedToken(new Folder(device.token.directory), device.module, device.moduleEnvironment);
  });
  afterEach(() => {
    device.remove();
    token.remove();
    expect(childrenOf(process.pid)).toEqual([]);
  });

  it.each([
    'C_Initialize',
    'C_InitToken',
    'C_OpenSession',
    'C_Login',
    'C_InitPIN',
    'C_GenerateKeyPair',
    'C_Logout',
  ] as const)(
    'in %s is made ready by the next run',
    async (name) => {
      device.crash(name, 'abort', { times: 1 });
      // A token agent is replaced by itself; the provisioning agent is not.
      await token.init().catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN' }));
      expect(device.calls(name)).toBeGreaterThan(0);
      await token.init();
      expect((await token.provisioner().plan())[0].steps).toEqual([]);
      expect(token.labels()).toContain('nest-hsm-probe');
    },
    120_000,
  );

  it.each(['C_Login', 'C_SetPIN', 'C_Logout', 'C_Finalize'] as const)(
    'in %s while its PIN changes has the new one after the next run',
    async (name) => {
      await token.init();
      const old = token.folder.read('pin');
      device.crash(name, 'abort', { times: 1 });
      const change = () => changeTokenPin(...token.terms, 'only', { who: 'user' });
      await expect(change()).rejects.toMatchObject({ code: 'ERR_HSM_OUTCOME_UNKNOWN' });
      await change();
      expect(token.folder.read('pin')).not.toBe(old);
      expect(token.labels()).toContain('nest-hsm-probe');
    },
    120_000,
  );
});
